"""Every test runs with shapes and types of public functions checked (jaxtyping and beartype)."""

import gc
import os
import sys
from collections.abc import Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# pytest-xdist sets them for its workers; what is printed must not depend on who runs the tests
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)

# before any isodepth module is imported, so that all of them are checked
_HOOK = install_import_hook("isodepth", "beartype.beartype")

# helpers beside this file are imported by name; importlib mode puts no folder on the path
sys.path.insert(0, str(Path(__file__).parent))
# so are the simulations of studies/, of which tests run small ones
sys.path.insert(1, str(Path(__file__).parents[1]))
pytest_plugins = ["fixtures_models"]

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    """Keep what is imported here out of later collections of garbage, of which each took 0.7 s.

    Libraries ask for them: statsmodels at each of Holm's corrections.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        _freeze()


@pytest.fixture(scope="module", autouse=True)
def _what_was_there_is_kept() -> None:
    """Keep what modules before left as well, such as models that are made once."""
    _freeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250410)


@pytest.fixture(scope="module")
def no_collections() -> Iterator[None]:
    """Holm's correction by statsmodels collects garbage at each call: 0.3 s in a process of tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gc, "collect", lambda *_: 0)
        yield


@pytest.fixture(scope="module")
def few_relabellings() -> Iterator[None]:
    """Two models are compared with the fewest relabellings; as many as by default take a second."""
    from isodepth.assessment import AssessmentOptions, assess_pair

    few = AssessmentOptions(n_permutations=19, n_resamples=100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("isodepth.pipeline.two_models.assess_pair", partial(assess_pair, options=few))
        yield


@pytest.fixture(autouse=True)
def _same_weights() -> None:
    """Modules that draw their weights draw the same, whatever tests ran before."""
    import torch  # after OMP_NUM_THREADS was set

    torch.manual_seed(20250410)


@pytest.fixture(autouse=True)
def _own_folders(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Give every test its own cache and store; tests on real models share the user's cache."""
    if request.node.get_closest_marker("real") is None:
        monkeypatch.setenv("ISODEPTH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("ISODEPTH_STORE", str(tmp_path / "store"))


@pytest.fixture
def shared() -> Path:
    """The folder of published matrices and real texts beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder shared/ with reference data is not beside this checkout")
    return SHARED
