"""Which pairs of models get figures of their own, where nobody says which?

By rule, so that nobody picks the prettiest: the paper's own two pairs where results hold them, base
models with what was tuned from them, and of all others those with the highest, the median and the
lowest contrast of the diagonal on the first text set.

>>> base_of("gemma-2-9b-it")
'gemma-2-9b'
>>> base_of("gemma-3-270m (bfloat16)")
'gemma-3-270m'

Memory: none to speak of.
"""

import re
from collections.abc import Iterable, Sequence

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.assessment import PairAssessment, StudyAssessment
from isodepth.errors import UnknownNameError, listed, nearest_names
from isodepth.models.options import DTYPES, QUANTIZATIONS
from isodepth.results import TextSetResults

PAPER_PAIRS = (("gemma-2-9b", "llama-3.1-8b"), ("llama-3.1-70b", "mistral-7b-v0.3"))
"""Figures 4a and 4b of the paper, by the catalogue's names."""
MOST_TUNED = 3
AS_CHAT = " as chat"
"""What a study writes behind the label of a model that read texts as a user's turn."""
_TUNED = re.compile(r"[-_ ](it|instruct|chat|sft|dpo|rlhf|tuned|finetuned)(?=$|[-_ ])", re.IGNORECASE)
_BASE = re.compile(r"[-_ ](base|pt|pretrained)(?=$|[-_ ])", re.IGNORECASE)
_READ_AS = re.compile(
    rf"{'|'.join((*DTYPES, *QUANTIZATIONS))}|[a-z0-9_]+ attention|batches of \d+ tokens?"
)
"""What `LoadingOptions.differences` says of a model that leaves it the same model."""
_UNTRAINED = re.compile(r"\(([^()]*, )?untrained, seed ")
Pair = tuple[str, str]


def featured_pairs(assessed: StudyAssessment, wanted: Sequence[Pair] = ()) -> tuple[Pair, ...]:
    """Return which pairs of models get figures of their own, left and right as in the results.

    Parameters
    ----------
    assessed : StudyAssessment
        The study.
    wanted : sequence of (str, str)
        Those that are wanted, in either order; where there are none, they are chosen.

    Raises
    ------
    UnknownNameError
        If a wanted pair is in no text set; all such are named.
    """
    known = _pairs_of(pair for one in assessed.sets for pair in one.pairs)
    if wanted:
        return known_pairs(wanted, known)
    # parallel texts come after others: two languages are the harder case
    sets = sorted(assessed.sets, key=lambda one: not one.matrices.is_symmetric)
    contrasts = [pair for one in sets[:1] for pair in one.pairs if "on_minus_off" in pair.profile]
    chosen = pairs_by_rule(known, _pairs_of(sorted(contrasts, key=_contrast)))
    # a parallel set has pairs that the first set need not have: every model with itself, for one
    across = [pair for pair in known if pair[0] == pair[1]]
    return tuple(dict.fromkeys((*chosen, *across[:1])))


def pairs_by_rule(known: Sequence[Pair], ranked: Sequence[Pair]) -> tuple[Pair, ...]:
    """Return the paper's pairs, tuned models with their bases, and the extremes; or else the first.

    Parameters
    ----------
    known : sequence of (str, str)
        All pairs.
    ranked : sequence of (str, str)
        Those whose contrast of the diagonal is known, the lowest first.
    """
    chosen = [pair for pair in PAPER_PAIRS if pair in known]
    chosen += [pair for pair in known if is_tuned_from(*pair)][:MOST_TUNED]
    chosen += [ranked[place] for place in (-1, len(ranked) // 2, 0) if ranked]
    return tuple(dict.fromkeys(chosen or known[:1]))


def _pairs_of(pairs: Iterable[PairAssessment]) -> list[Pair]:
    return list(dict.fromkeys((pair.matrix.left, pair.matrix.right) for pair in pairs))


def _contrast(pair: PairAssessment) -> float:
    return pair.profile["on_minus_off"].value


def known_pairs(wanted: Sequence[Pair], known: Iterable[Pair]) -> tuple[Pair, ...]:
    """Return those of the known pairs of models that are wanted, in either order.

    Raises
    ------
    UnknownNameError
        If a wanted pair is not known; all such are named.
    """
    every = list(known)
    labels = {label for pair in every for label in pair}
    found: list[Pair] = []
    missing: list[str] = []
    for left, right in wanted:
        fitting = [pair for pair in every if pair in ((left, right), (right, left))]
        found += fitting
        if not fitting:
            unknown = [label for label in (left, right) if label not in labels]
            missing += unknown or [f"{left},{right}"]
    if missing:
        near = dict.fromkeys(name for label in missing for name in nearest_names(label, labels))
        raise UnknownNameError(
            f"no matrices are of {listed([*map(repr, dict.fromkeys(missing))], most=30)}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"there are {listed(sorted(labels), most=30)}.",
        )
    return tuple(dict.fromkeys(found))


def base_of(label: str) -> str:
    """Return what a model's label is without what tells of tuning, adapters and ways of reading."""
    return _BASE.sub("", _TUNED.sub("", _bare(label)))


def is_tuned_from(one: str, other: str) -> bool:
    """Return whether, by their names, one model was tuned from the other."""
    if any(_UNTRAINED.search(label) for label in (one, other)):
        return False
    steps, others = _steps(one), _steps(other)
    return base_of(one) == base_of(other) and (steps < others or others < steps)


def _steps(label: str) -> frozenset[str]:
    """Return which steps led from a base model to this one, by its name."""
    steps = {"tuned": _TUNED.search(_bare(label)) is not None, "adapter": " + " in label}
    return frozenset(step for step, was_taken in steps.items() if was_taken)


def _bare(label: str) -> str:
    return label.removesuffix(AS_CHAT).split("(")[0].split(" + ")[0].strip()


def is_random(found: TextSetResults) -> bool:
    """Return whether a text set is of random strings, by where it came from or by its name."""
    provenance = found.sides[0].get("provenance") or {}
    named = re.search(r"random[-_ ]?strings", found.name, re.IGNORECASE)
    return provenance.get("source") == "generated" or named is not None


def copies_of_models(
    matrices: AffinityMatrices,
) -> dict[str, tuple[list[AffinityMatrix], list[AffinityMatrix]]]:
    """Return each model that was read in several ways, with its copies and with other models.

    A copy is the same model with other options behind its name: another number format, quantization, or
    attention. Its similarities to itself are what noise of that kind leaves. A model stands under the
    label without options, or else under the first of its labels.
    """
    if not matrices.is_symmetric:
        return {}
    readings: dict[str, list[str]] = {}
    for label in matrices.left:
        name = _read_otherwise(label)
        readings.setdefault(name, []).insert(0 if label == name else len(readings[name]), label)
    return {
        label: (
            [matrices[label, copy] for copy in copies],
            [matrices[label, other] for other in matrices.left if other not in (label, *copies)],
        )
        for label, *copies in readings.values()
        if copies
    }


def _read_otherwise(label: str) -> str:
    """Return the name of the model that a label says to be read in a certain way; else the label."""
    name, _, inside = label.removesuffix(")").partition(" (")
    return name if all(_READ_AS.fullmatch(said) for said in inside.split(", ")) else label
