"""Which pairs of models get figures of their own, where nobody says which?

By rule, so that nobody picks the prettiest: the paper's own two pairs where results hold them, base
models with what was tuned from them, and of all others those with the highest, the median and the
lowest contrast of the diagonal on the first text set.

>>> base_of("gemma-2-9b-it")
'gemma-2-9b'
>>> base_of("gemma-3-270m(dtype=bfloat16)")
'gemma-3-270m'
"""

import re
from collections.abc import Sequence

from isodepth.affinity import AffinityMatrices, AffinityMatrix
from isodepth.assessment import PairAssessment, StudyAssessment
from isodepth.errors import UnknownNameError, nearest_names

PAPER_PAIRS = (("gemma-2-9b", "llama-3.1-8b"), ("llama-3.1-70b", "mistral-7b-v0.3"))
"""Figures 4a and 4b of the paper, by the catalogue's names."""
MOST_TUNED = 3
_TUNED = re.compile(r"[-_ ](it|instruct|chat|sft|dpo|rlhf|tuned|finetuned)(?=$|[-_ ])", re.IGNORECASE)


def featured_pairs(
    assessed: StudyAssessment, wanted: Sequence[tuple[str, str]] = ()
) -> tuple[tuple[str, str], ...]:
    """Return which pairs of models get figures of their own, as results order them.

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
    known = list(
        dict.fromkeys(
            (pair.matrix.left, pair.matrix.right) for one in assessed.sets for pair in one.pairs
        )
    )
    if wanted:
        return _known_pairs(wanted, known)
    chosen = [pair for pair in PAPER_PAIRS if pair in known]
    tuned = [(left, right) for left, right in known if is_tuned_from(left, right)]
    chosen += tuned[:MOST_TUNED]
    contrasts = [
        pair for one in assessed.sets[:1] for pair in one.pairs if "on_minus_off" in pair.profile
    ]
    ranked = sorted(contrasts, key=_contrast)
    for place in (-1, len(ranked) // 2, 0):
        if ranked:
            chosen.append((ranked[place].matrix.left, ranked[place].matrix.right))
    if not chosen:
        chosen = known[:1]
    # a parallel set has pairs that the first set need not have: every model with itself, for one
    across = [pair for pair in known if pair[0] == pair[1]]
    return tuple(dict.fromkeys((*chosen, *across[:1])))


def _contrast(pair: PairAssessment) -> float:
    return pair.profile["on_minus_off"].value


def _known_pairs(
    wanted: Sequence[tuple[str, str]], known: Sequence[tuple[str, str]]
) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    missing: list[str] = []
    labels = {label for pair in known for label in pair}
    for left, right in wanted:
        fitting = [pair for pair in known if pair in ((left, right), (right, left))]
        found += fitting
        if not fitting:
            missing += [label for label in (left, right) if label not in labels] or [
                f"{left} x {right}"
            ]
    if missing:
        near = dict.fromkeys(name for label in missing for name in nearest_names(label, labels))
        raise UnknownNameError(
            f"no results have {', '.join(dict.fromkeys(map(repr, missing)))}",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    return tuple(dict.fromkeys(found))


def base_of(label: str) -> str:
    """Return what a model's label is without what tells of tuning, adapters and number formats."""
    return _TUNED.sub("", label.split("(")[0]).strip()


def is_tuned_from(one: str, other: str) -> bool:
    """Return whether, by their names, one model was tuned from the other."""
    if base_of(one) != base_of(other):
        return False
    return ("adapter=" in one) != ("adapter=" in other) or bool(_TUNED.search(one)) != bool(
        _TUNED.search(other)
    )


def copies_of_models(
    matrices: AffinityMatrices,
) -> dict[str, tuple[list[AffinityMatrix], list[AffinityMatrix]]]:
    """Return each model that was read in several ways, with its copies and with other models.

    A copy is the same model with other options behind its name: another number format, quantization, or
    batches. Its similarities to itself are what noise of that kind leaves.
    """
    found: dict[str, tuple[list[AffinityMatrix], list[AffinityMatrix]]] = {}
    if not matrices.is_symmetric:
        return found
    for label in matrices.left:
        if "(" in label:
            continue
        same = [one for one in matrices.left if one != label and _is_copy(label, one)]
        if not same:
            continue
        others = [one for one in matrices.left if one != label and not _is_copy(label, one)]
        found[label] = (
            [matrices[label, one] for one in same],
            [matrices[label, one] for one in others],
        )
    return found


def _is_copy(label: str, other: str) -> bool:
    return other.split("(")[0] == label and "adapter=" not in other
