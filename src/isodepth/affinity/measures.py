"""Which measures of similarity are there, and how is one added?

`MEASURES` has those that come with isodepth. Others are entered from Python, under a name that then
works wherever a measure is named:

>>> MEASURES["mean_cosine"] = Measure.of(mean_cosine, title="cosine of means")   # doctest: +SKIP

or come with a package, by an entry point of the group ``isodepth.measures``, whose name is the
measure's and whose object is a `Measure`, or a function of two layers' activations:

    [project.entry-points."isodepth.measures"]
    mean_cosine = "my_package:mean_cosine"

Those of packages are found when they are asked for. Only a package's are found on the machines of a
cluster.

Memory: none to speak of.
"""

import re
from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from isodepth.affinity.canonical import CANONICAL_MEASURES
from isodepth.affinity.cka import CKA_MEASURES
from isodepth.affinity.cknna import CKNNA_MEASURES
from isodepth.affinity.distance_correlation import DISTANCE_MEASURES
from isodepth.affinity.measure import Measure
from isodepth.affinity.mutual_knn import MUTUAL_KNN
from isodepth.affinity.neighbor_overlaps import OVERLAP_MEASURES
from isodepth.affinity.procrustes import PROCRUSTES_MEASURES
from isodepth.affinity.ridge import RIDGE_MEASURES
from isodepth.affinity.rsa import RSA_MEASURES
from isodepth.errors import (
    IsodepthError,
    ParameterError,
    UnknownNameError,
    first_line,
    listed,
    nearest_names,
)

GROUP = "isodepth.measures"
"""The group of entry points of measures that come with other packages."""
CHANCE_KNOWN = "mutual_knn"
"""The measure whose chance level and resampling are known."""
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")

MEASURES: dict[str, Measure] = {
    "mutual_knn": MUTUAL_KNN,
    **OVERLAP_MEASURES,
    **CKNNA_MEASURES,
    **CKA_MEASURES,
    **RSA_MEASURES,
    **CANONICAL_MEASURES,
    **PROCRUSTES_MEASURES,
    **DISTANCE_MEASURES,
    **RIDGE_MEASURES,
}
"""Measures by name."""
_OURS = dict(MEASURES)
"""Those that come with isodepth, whatever is entered under their names."""


def known_measures() -> dict[str, Measure | EntryPoint]:
    """Return all measures by name: those of `MEASURES`, and those of packages, not yet loaded."""
    found: dict[str, Measure | EntryPoint] = dict(_plug_ins())
    return {**MEASURES, **{name: one for name, one in found.items() if name not in MEASURES}}


def measure_named(name: str) -> Measure:
    """Return a measure by its name.

    Raises
    ------
    UnknownNameError
        If nothing is called so.
    ParameterError
        If a package's measure cannot be loaded, or is none.
    """
    if name in MEASURES:
        return MEASURES[name]
    known = known_measures()
    if name not in known:
        near = nearest_names(name, known)
        raise UnknownNameError(
            f"measure must be one of {listed(list(known), most=40)}; got {name!r}",
            hint=f"did you mean {' or '.join(near)}? " * bool(near)
            + "'isodepth measures' explains them.",
        )
    entry = known[name]
    assert isinstance(entry, EntryPoint)
    try:
        found = entry.load()
    except Exception as error:
        # whatever goes wrong in another package's code, there is no such measure
        raise ParameterError(
            f"the measure {name!r} of {_origin(entry)} cannot be loaded: {first_line(error)}"
        ) from error
    if isinstance(found, Measure):
        return found
    if callable(found):
        return Measure.of(found, title=name.replace("_", " "))
    raise ParameterError(
        f"the measure {name!r} of {_origin(entry)} must be a Measure or a function of two layers' "
        f"activations; got {type(found).__name__}"
    )


def measure_identity(name: str) -> str:
    """Return what stands for a measure in keys of stored values: its name, with what fixes its values.

    The name alone for the first version of a measure that comes with isodepth. Else also the version,
    and the package that it comes from with that package's version, or its code if it was entered from
    Python.
    """
    measure = measure_named(name)
    origin = ""
    if name not in MEASURES:
        origin = f" of {_origin(known_measures()[name])}"
    elif MEASURES[name] is not _OURS.get(name):
        origin = f" entered from Python, code {measure.code}"
    return name + f" version {measure.version}" * (measure.version != 1) + origin


def check_measure(measure: str) -> None:
    """Raise an error, as `measure_named` does, unless a measure of this name is there."""
    if not NAME.fullmatch(measure) and measure.lower() not in known_measures():
        raise ParameterError(
            f"a measure's name has up to 60 lowercase letters, digits and underscores, a letter first; "
            f"got {measure!r}"
        )
    measure_named(measure)


def measure_here(name: str) -> Measure | None:
    """Return a measure by its name; None if it is not here: imported matrices may be by any."""
    try:
        return measure_named(name)
    except IsodepthError:
        return None


def chance_level(measure: str, n_texts: int, k: int) -> float | None:
    """Return the mean similarity of unrelated layers by a measure; None where it is not known."""
    found = measure_here(measure)
    if found is None or found.chance is None:
        return None
    try:
        return float(found.chance(n_texts, k))
    except Exception as error:  # whatever goes wrong in another's code
        raise ParameterError(
            f"the measure {measure} does not tell its chance level for {n_texts:,} texts and k = {k}: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error


def measure_title(measure: str) -> str:
    """Return what a measure is called in figures and tables: its name, if it is not here."""
    found = measure_here(measure)
    return measure if found is None else found.title


def measure_source(measure: str) -> str:
    """Return where a measure comes from; nothing if it is not here."""
    found = measure_here(measure)
    return "" if found is None else found.source


def reads_neighbors(measure: str) -> bool:
    """Return whether a measure is here, and takes neighbors."""
    found = measure_here(measure)
    return found is not None and found.reads == "neighbors"


def unusual_reading(metric: str | None, preprocessing: str) -> tuple[str, ...]:
    """Return in words what was done otherwise than usual: ("euclidean", "after center")."""
    said = [] if metric in (None, "cosine") else [str(metric).replace("_", " ")]
    return (*said, *([f"after {preprocessing}"] if preprocessing != "none" else []))


def measured_by(
    measure: str, k: int, metric: str | None = "cosine", preprocessing: str = "none"
) -> str:
    """Return by what layers were compared: "mutual_knn, k = 10", "cka, after center"."""
    counted = [f"k = {k}"] if k else []
    return ", ".join([measure, *counted, *unusual_reading(metric, preprocessing)])


def _plug_ins() -> Iterator[tuple[str, EntryPoint]]:
    for entry in entry_points(group=GROUP):
        if NAME.fullmatch(entry.name):
            yield entry.name, entry


def _origin(entry: Measure | EntryPoint) -> str:
    """Return the package that an entry point belongs to, with its version."""
    package = None if isinstance(entry, Measure) else entry.dist
    return "an unknown package" if package is None else f"{package.name} {package.version}"
