"""Do the parts of a study fit together? Then it is a `Study`."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from isodepth.activations.result import CAPTURES, POOLINGS, pooling_named
from isodepth.affinity.measures import check_measure, known_measures
from isodepth.defaults import KEPT_NEIGHBORS
from isodepth.errors import ParameterError, listed, nearest_names
from isodepth.models.options import LoadingOptions
from isodepth.neighbors import METRICS
from isodepth.preprocessing import Preprocessing
from isodepth.study.models import (
    LOADING_CHOICES,
    chat_models,
    model_resources,
    study_models,
    task_resources,
)
from isodepth.study.names import known_name
from isodepth.study.problems import Problems
from isodepth.study.schema import StudyTable
from isodepth.study.study import Resources, Study
from isodepth.study.texts import study_texts


def study_from(
    table: StudyTable, problems: Problems, *, path: Path | None, folder: Path, name: str
) -> Study:
    """Return the study that a table of the right shape says, and note all that is wrong with it.

    Parameters
    ----------
    table : StudyTable
        What a file says, as far as its shape is right.
    problems : Problems
        Takes what is wrong; where anything is, the study returned is not to be used.
    path : Path, optional
        The file.
    folder : Path
        Where paths that begin with ./ are looked up.
    name : str
        The study's name if it does not say one.
    """
    loading = _loading(table, problems)
    models = study_models(table, problems, folder=folder, loading=loading)
    texts, n_texts = study_texts(table, problems, folder=folder)
    ks = _ks(table, n_texts, problems)
    resources = task_resources(table.resources, Resources())
    problems.noted(("metric",), table.metric, partial(known_name, table.metric, METRICS, what="metric"))
    preprocessing = problems.noted(
        ("preprocessing",), table.preprocessing, partial(Preprocessing.of, table.preprocessing)
    )
    return Study(
        name=table.name or name,
        path=path,
        models=models.names,
        also_as_chat=chat_models(table, models, problems),
        texts=texts,
        seed=table.seed,
        captures=_once("captures", table.captures, problems, _capture),
        poolings=_once("poolings", table.poolings, problems, _pooling),
        max_tokens=table.max_tokens,
        metric=table.metric,
        preprocessing="none" if preprocessing is None else preprocessing.name,
        measures=_once("measures", table.measures, problems, _measure),
        ks=ks,
        keep_activations=table.keep.activations,
        keep_neighbors=_neighbors(table, ks, problems),
        loading=loading,
        resources=resources,
        model_resources=model_resources(table, models, resources, problems),
        neighbors_resources=_for_neighbors(table, resources),
        written=models.written,
    )


def _for_neighbors(table: StudyTable, default: Resources) -> Resources | None:
    """Return what tasks that find neighbors ask for, None where it is not said."""
    asked = table.resources.neighbors
    return None if asked is None else task_resources(asked, replace(default, gpus=0.0))


def _loading(table: StudyTable, problems: Problems) -> LoadingOptions:
    """Return the loading options, without those that cannot be used."""
    said = table.loading.model_dump(exclude_none=True)
    for key, value in list(said.items()):
        known = LOADING_CHOICES.get(key)
        check: Callable[[], object] = partial(LoadingOptions, **{key: value})
        if known is not None:
            check = partial(known_name, value, known, what=key)
        if problems.noted(("loading", key), value, check) is None:
            del said[key]
    if "device" in said and "device_map" in said:
        del said["device_map"]
        problems.add(
            ("loading", "device_map"), "it excludes device: a device map chooses the devices itself"
        )
    return LoadingOptions(**said)


def _ks(table: StudyTable, n_texts: Mapping[str, int], problems: Problems) -> tuple[int, ...]:
    for at, k in table.ks.items():
        short = [f"{name} has {n:,}" for name, n in n_texts.items() if n <= k]
        if short:
            problems.add(
                ("ks", at), f"expected less than the number of texts of every set; {listed(short)}"
            )
    return _once("ks", table.ks, problems, lambda k: k)


def _neighbors(table: StudyTable, ks: tuple[int, ...], problems: Problems) -> int:
    largest = max(ks, default=1)
    if table.keep.neighbors is None:
        return max(KEPT_NEIGHBORS, largest)
    if table.keep.neighbors < largest:
        problems.add(("keep", "neighbors"), f"expected at least {largest:,}, the largest of ks")
    return table.keep.neighbors


def _once(
    key: str, values: Mapping[int, Any], problems: Problems, checked: Callable[[Any], Any]
) -> tuple[Any, ...]:
    """Return the entries of a list that can be used; note the others, and what stands there twice."""
    places: dict[Any, int] = {}
    for at, value in values.items():
        one = problems.noted((key, at), value, partial(checked, value))
        if one is None:
            continue
        if places.setdefault(one, at) != at:
            problems.add((key, at), f"it stands in {key}[{places[one]}] already")
    return tuple(places)


def _capture(capture: str) -> str:
    known = [one for one in CAPTURES if one != "embedding"]
    if capture == "embedding":
        raise ParameterError(
            "it is one layer, which is no depth to compare", hint=f"expected one of {listed(known)}"
        )
    return known_name(capture, known, what="capture")


def _measure(measure: str) -> str:
    """Return a measure's name, after loading it: a package's may be broken."""
    known_name(measure, known_measures(), what="measure")
    check_measure(measure)
    return measure


def _pooling(pooling: str | int) -> str | int:
    try:
        return pooling_named(pooling)
    except ParameterError as error:
        near = nearest_names(str(pooling), POOLINGS)
        raise ParameterError(
            "there is no such pooling: expected one of "
            f"{listed([*POOLINGS])}, or a token's place, a whole number",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        ) from error
