"""A study's models, read another way: what is left of a layer's similarity to itself?

A copy is a model of the study with one more loading option, as it may stand behind a model's name:
dtype=bfloat16, quantization=8bit, batch_tokens=512. It reads the same texts in the same way, through
the store, so what is there is not read again.

>>> copies_of_models(results, Path(), ["dtype=bfloat16"], k=10, store=Store())   # doctest: +SKIP

Memory: as a study's, one model at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from isodepth.interchange import ImportedReading
from isodepth.models import resolve_model
from isodepth.pipeline.matrices import Reader
from isodepth.pipeline.plan import plan_study
from isodepth.pipeline.planned import StudyPlan
from isodepth.pipeline.readings import Reading
from isodepth.pipeline.restudied import (
    loading_options_of,
    named_otherwise,
    read_plan,
    study_of_results,
)
from isodepth.progress import Progress, no_progress
from isodepth.results import StudyResults
from isodepth.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """A model of a study, read another way, on one text set.

    Parameters
    ----------
    label : str
        What results call the model.
    texts, capture, pooling : str
        The text set by its name, and what was read.
    reader : Reader
        The copy; its neighbors are in the store.
    """

    label: str
    texts: str
    capture: str
    pooling: str
    reader: Reader


def copies_of_models(
    results: StudyResults,
    folder: Path,
    copies: Sequence[str],
    *,
    k: int,
    store: Store,
    texts: Sequence[str] = (),
    keep_activations: bool = False,
    progress: Progress = no_progress,
) -> tuple[list[Copy], list[str]]:
    """Return the models of a study read another way, after reading what is missing; and notes.

    Parameters
    ----------
    results : StudyResults
        Of a study that ran models. Those that results leave out are not read.
    folder : Path
        Where the study's paths that begin with ./ are looked up.
    copies : sequence of str
        Loading options, one or several of a copy: "dtype=bfloat16".
    k : int
        Neighbors per text that are needed.
    store : Store
        Where readings are and go.
    texts : sequence of str
        Only these text sets.
    keep_activations : bool
        Whether the copies' activations are kept in the store.
    progress : Progress
        Told how far the reading is.

    Returns
    -------
    found : list of Copy
        Of text sets of single texts, not of parallel ones.
    notes : list of str
        What could not be read, and why.

    Raises
    ------
    ParameterError
        If an option is none, or results do not say which study they are of.
    StudyError
        If the study cannot be read on this machine.
    """
    options = [loading_options_of(copy) for copy in copies]
    names = list(texts or results.set_names)
    keys = results.manifest.get("study") or {}
    if keys and not any(entry["name"] in names and "texts" in entry for entry in keys["texts"]):
        return [], ["parallel texts are left out of the noise ceiling: there was nothing else to read"]
    whole = study_of_results(results, folder, texts=names, k=k)
    digests = [
        resolve_model(written, options=whole.loading, fetch=False).digest for written in whole.models
    ]
    found: list[Copy] = []
    notes: list[str] = []
    for option in options:
        copied = study_of_results(
            results,
            folder,
            texts=names,
            k=k,
            otherwise=option,
            keep_activations=keep_activations,
        )
        plan = plan_study(copied, store, measures_speed=False, progress=progress)
        original = dict(zip(copied.models, _originals(keys["models"], option, digests), strict=True))
        wanted = _copies(plan, results, original)
        read = {_identity(one.reader.reading) for one in wanted}
        planned = [one for one in plan.readings if _identity(one.reading) in read]
        missing = [*plan.missing, *read_plan(replace(plan, readings=tuple(planned)), store, progress)]
        notes += [f"no copy: {one.what}: {one.reason}" for one in missing]
        failed = {one.what for one in missing}
        lost = {_identity(one.reading) for one in planned if one.label in failed}
        same: dict[str, None] = {}
        for one in wanted:
            if _identity(one.reader.reading) in lost:
                continue
            if one.reader.key == _known_key(results, one):
                same[one.label] = None
            else:
                found.append(one)
        said = ", ".join(f"{key}={value}" for key, value in option.items())
        notes += [f"no copy: {label} was read with {said} already" for label in same]
    return found, notes


def _originals(models: Sequence[str], option: Mapping[str, str], digests: Sequence[str]) -> list[str]:
    """Return whose copy each model is that has the option: one without it, if the study has one."""
    names = named_otherwise(models, option)
    found: dict[str, str] = {}
    for written, name, digest in zip(models, names, digests, strict=True):
        if name not in found or written != name:
            found[name] = digest
    return [*found.values()]


def _identity(reading: Reading | ImportedReading) -> tuple[str, str, bool]:
    """Return who reads what how in one pass."""
    assert isinstance(reading, Reading)  # of a plan that is not of imports
    return reading.source.digest, reading.texts.digest, reading.options[0].chat


def _copies(plan: StudyPlan, results: StudyResults, original: Mapping[str, str]) -> list[Copy]:
    """Return the readers of a plan by what results call their originals, if they have those."""
    left_out = results.manifest.get("left_out", ())
    found = []
    for planned in plan.sets:
        readings = results[planned.name].description.get("readings", ())
        for kind, selection in planned.selections.items():
            for reader in selection.left:
                reading = reader.reading
                assert isinstance(reading, Reading)
                meant = (
                    original[reading.written or ""],
                    reading.texts.digest,
                    reader.options.as_dict(),
                )
                labels = [
                    str(said["label"])
                    for said in readings
                    if (said["model_digest"], said["texts_digest"], said["options"]) == meant
                ]
                if labels and labels[0] not in left_out:
                    found.append(
                        Copy(
                            label=labels[0],
                            texts=planned.name,
                            capture=kind.capture,
                            pooling=kind.pooling,
                            reader=reader,
                        )
                    )
    return found


def _known_key(results: StudyResults, copy: Copy) -> str | None:
    """Return the key of the original's neighbors."""
    for said in results[copy.texts].description.get("readings", ()):
        options = said["options"]
        read = (said["label"], options["capture"], str(options["pooling"]))
        if read == (copy.label, copy.capture, copy.pooling):
            return str(said["neighbors"])
    return None
