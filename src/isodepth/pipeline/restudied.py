"""The study behind results, again: its models on its texts, with something read or kept besides.

Results hold their study as it was written. What it has read already is in the store and is not read
again; what a question needs besides (activations, models loaded otherwise) is.

>>> study = study_of_results(results, Path(), texts=["wikipedia"], k=10)        # doctest: +SKIP
>>> missing = read_plan(plan_study(study, store), store, no_progress)           # doctest: +SKIP

Memory: as a study's, one model at a time.
"""

import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from isodepth.engines import LocalEngine, Task
from isodepth.errors import ParameterError, StudyError
from isodepth.models.names import MODEL_OPTIONS, model_name
from isodepth.notation import split_arguments, written_options
from isodepth.pipeline.planned import Missing, StudyPlan
from isodepth.pipeline.reading_work import ModelShelf, read
from isodepth.progress import Progress
from isodepth.results import StudyResults
from isodepth.store import Store
from isodepth.study import Study
from isodepth.study.names import as_argument
from isodepth.study.problems import Problems
from isodepth.study.shape import valid_part
from isodepth.study.whole import study_from

_RELATIVE = re.compile(r"""(^|[\s"'(,=])\.\.?/""")
"""A path from the study file's folder, in what a study says."""


def study_of_results(
    results: StudyResults,
    folder: Path,
    *,
    texts: Sequence[str],
    k: int,
    otherwise: Mapping[str, str] | None = None,
    keep_activations: bool = False,
) -> Study:
    """Return the study that results are of, for mutual k-NN on some of its text sets.

    Its metric and preprocessing stay: what is asked anew is asked of the neighbors it is about.

    Parameters
    ----------
    results : StudyResults
        Of a study that ran models.
    folder : Path
        Where the study's paths that begin with ./ are looked up.
    texts : sequence of str
        Its text sets, by their names; those of parallel texts are left out.
    k : int
        Neighbors per text.
    otherwise : mapping of str to str, optional
        Loading options that all models get, in place of their own of that name.
    keep_activations : bool
        Whether activations are kept in the store.

    Raises
    ------
    ParameterError
        If results do not say which study they are of, or no text set is left.
    StudyError
        If the study cannot be read on this machine.
    """
    keys = results.manifest.get("study")
    if keys is None or results.manifest.get("readings") == "imported":
        raise ParameterError(
            f"{results.name} does not say which models were run how, so that none can be read again",
            hint="this needs the folder that 'isodepth run' wrote, of a study that ran its models.",
        )
    chosen = [entry for entry in keys["texts"] if entry["name"] in texts and "texts" in entry]
    if not chosen:
        raise ParameterError("of parallel texts nothing is read again, and there are no others")
    keep = {**keys.get("keep", {}), "activations": keep_activations}
    if "neighbors" in keep:
        keep["neighbors"] = max(keep["neighbors"], k)
    said = {
        **keys,
        "texts": chosen,
        "measures": ["mutual_knn"],
        "ks": [k],
        "keep": keep,
    }
    if otherwise:
        for key in ("models", "also_as_chat"):
            # a model and its copy, both of the study, become one
            said[key] = list(dict.fromkeys(named_otherwise(keys.get(key, ()), otherwise)))
        said["resources"] = {}
    problems = Problems(keys=said, path=None)
    table = valid_part(said, problems)
    study = study_from(table, problems, path=None, folder=folder.absolute(), name=results.name)
    is_relative = any(_RELATIVE.search(str(problems.value(place))) for place, _ in problems.found)
    try:
        problems.refuse()
    except StudyError as error:
        if not is_relative:
            raise
        raise StudyError(
            error.message,
            hint=f"names that begin with ./ or ../ were looked up in {folder.absolute()}; name the "
            "folder of the study's file, --study-folder.",
        ) from error
    return study


def loading_options_of(written: str) -> dict[str, str]:
    """Return loading options that were written as behind a model's name: "dtype=bfloat16".

    Raises
    ------
    ParameterError
        If it holds none, or something else.
    """
    found = written_options("a copy", split_arguments(written), MODEL_OPTIONS)
    if not found:
        raise ParameterError(
            "a copy needs a loading option; got none", hint="write --copy dtype=bfloat16, for example."
        )
    return {key: str(value) for key, value in found.items()}


def read_plan(plan: StudyPlan, store: Store, progress: Progress) -> list[Missing]:
    """Read what the store lacks of a plan, on this machine; return what could not be read."""
    shelf = ModelShelf()
    tasks = [
        Task(
            label=planned.label,
            work=functools.partial(read, planned.reading, store, shelf=shelf),
            resources=planned.resources,
        )
        for planned in plan.readings
        if planned.reading.missing(store)
    ]
    with store.running():
        outcomes = [
            (outcome.task.label, outcome.error)
            for outcome in LocalEngine().run(tasks, progress=progress)
        ]
    return [Missing.of(label, error) for label, error in outcomes if error is not None]


def named_otherwise(models: Sequence[str], options: Mapping[str, str]) -> list[str]:
    """Return the names of models with loading options, which take the place of their own."""
    return [_otherwise(one, options) for one in models]


def _otherwise(written: str, options: Mapping[str, str]) -> str:
    """Return the name of a model with options, which take the place of its own."""
    name, said = written, dict(options)
    if "=" in written or "@" in written:
        own = model_name(written)
        name, said = own.name, own.options | said
    inside = ", ".join(f"{key}={as_argument(value)}" for key, value in said.items())
    return f"{name}({inside})"
