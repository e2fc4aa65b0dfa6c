"""Which versions of the code do stored results come from?

A stage of the work reads what the stage before it stored. Every artifact's manifest has, under
``versions``, the version of the code of its own stage and of all stages before it, so that what older
code computed can be told, and goes (`isodepth.store.garbage`).
"""

from isodepth.activations.result import EXTRACTION_VERSION
from isodepth.affinity import AFFINITY_VERSION
from isodepth.neighbors import NEIGHBORS_VERSION

STAGE_VERSIONS = {
    "activations": EXTRACTION_VERSION,
    "neighbors": NEIGHBORS_VERSION,
    "affinities": AFFINITY_VERSION,
}
"""The present version of the code of each stage, in the order of the work."""


def versions_up_to(stage: str) -> dict[str, int]:
    """Return the present versions of a stage and of all before it."""
    stages = list(STAGE_VERSIONS)
    return {one: STAGE_VERSIONS[one] for one in stages[: stages.index(stage) + 1]}
