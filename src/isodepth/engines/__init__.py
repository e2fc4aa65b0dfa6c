"""Where the tasks of a study run: in this process, or on a Ray cluster."""

from collections.abc import Callable

from isodepth.engines.local import LocalEngine
from isodepth.engines.task import Engine, Outcome, Task


def _ray_engine(address: str | None) -> Engine:
    from isodepth.engines.ray import RayEngine

    return RayEngine(address)


ENGINES: dict[str, Callable[[str | None], Engine]] = {
    "local": lambda _: LocalEngine(),
    "ray": _ray_engine,
}
"""Engines by name; each takes the address of a cluster, which only some need."""

__all__ = ["ENGINES", "Engine", "LocalEngine", "Outcome", "Task"]
