"""What of a store do studies need? The rest may go."""

from collections.abc import Sequence

from isodepth.errors import StoreError
from isodepth.interchange.imported import STAGE as IMPORTED
from isodepth.interchange.imported import TEXTS_STAGE as IMPORTED_TEXTS
from isodepth.pipeline.matrices import STAGE as AFFINITIES
from isodepth.pipeline.planned import StudyPlan
from isodepth.pipeline.reading_work import SPEEDS
from isodepth.store import Store


def needed_artifacts(plans: Sequence[StudyPlan], store: Store) -> set[tuple[str, str]]:
    """Return the artifacts, as (stage, key), that belong to studies.

    What was imported, and how fast models were read, counts as needed in any case: it is small, and
    not all of it can be made again.

    Parameters
    ----------
    plans : sequence of StudyPlan
        Of all the studies.
    store : Store
        Where they are.

    Raises
    ------
    StoreError
        If a study has a model or text set that cannot be had, so that its artifacts are not known.
    """
    # what is missing of imports has no artifacts
    by_models = [plan for plan in plans if not plan.imported]
    unknown = [f"{plan.study.name}: {one.what}" for plan in by_models for one in plan.missing]
    if unknown:
        raise StoreError(
            f"what these studies need is not known, because of {'; '.join(unknown)}",
            hint="'isodepth status STUDY' tells why; nothing was removed.",
        )
    needed = {(stage, key) for stage in (IMPORTED, IMPORTED_TEXTS, SPEEDS) for key in store.keys(stage)}
    stored = store.keys("neighbors")
    for plan in plans:
        for planned in plan.readings:
            reading = planned.reading
            for options in reading.options:
                needed |= {("neighbors", name) for name in reading.enough_neighbors(options, stored)}
                if reading.keep_activations:
                    needed.add(("activations", reading.activations_key(options)))
        needed |= {
            (AFFINITIES, selection.key) for one in plan.sets for selection in one.selections.values()
        }
    return needed
