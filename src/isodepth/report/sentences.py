"""What do the numbers support, in three sentences?

1. *Shared?* In how many pairs of models do layers share neighbors beyond chance, and how many?
2. *By depth?* In how many is there a ridge through the whole of depth; how large is the contrast?
3. *How, and what speaks against it?* How far corresponding layers are from proportional depth, what a
   ridge lacks most often, and what control texts give.

Each says no more than the assessment does: what was told from matrices alone is said to be so, and has
no interval; without verdicts there is none. Texts that are generated, or changed as a control, are
counted by themselves, in the third sentence.

>>> for sentence in three_sentences(assessed.sets, results, options):           # doctest: +SKIP
...     print(sentence)

Memory: none to speak of.
"""

import contextlib
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from isodepth.assessment import AssessmentOptions, PairAssessment, TextSetAssessment
from isodepth.errors import IsodepthError, counted
from isodepth.results import StudyResults
from isodepth.statistics import Estimate
from isodepth.statistics.decision import LEAST_P
from isodepth.statistics.depth_map import TRUSTED_DISAGREEMENT
from isodepth.statistics.ridge import RIDGE_PARTS
from isodepth.statistics.sections import FEWEST_LAYERS
from isodepth.texts.names import taken_apart

MATCHED = "depth-matched"
SAID = {
    MATCHED: ("goes by depth throughout", "go by depth throughout"),
    "shared, not depth-matched": (
        "shares neighbors without going by depth throughout",
        "share neighbors without going by depth throughout",
    ),
    "not shared": ("shares none beyond chance", "share none beyond chance"),
    "undecided": ("stays undecided", "stay undecided"),
}
"""What one pair with a verdict does, and what several do."""
SAID_OF_ONE = {
    MATCHED: "Similarity goes by depth, along a ridge through the whole of it",
    "shared, not depth-matched": "Similarity does not go by depth throughout",
    "not shared": "So there is nothing that could go by depth",
    "undecided": "Whether similarity goes by depth throughout, these numbers do not tell",
}
MOST_NAMED = 3


def three_sentences(
    sets: Sequence[TextSetAssessment], results: StudyResults, options: AssessmentOptions
) -> tuple[str, str, str]:
    """Return what the numbers support: shared? by depth? how, and what speaks against it?

    Parameters
    ----------
    sets : sequence of TextSetAssessment
        What was assessed; one for each text set, measure, capture and pooling.
    results : StudyResults
        What is known of the texts.
    options : AssessmentOptions
        How often a verdict may be wrong.
    """
    everything = [_Shown(one=one, pair=pair) for one in sets for pair in one.pairs]
    if not everything:
        n_models = len({label for one in sets for label in (*one.matrices.left, *one.matrices.right)})
        alone = f"There is no pair of models to compare: {counted(n_models, 'model')} in all."
        return alone, "So nothing is said of depth.", "Nor of how layers correspond."
    # beside verdicts, measures that have none would only blur the counts; nor do they share a scale
    decided = [shown for shown in everything if shown.verdict is not None] or [
        shown for shown in everything if shown.one.kind.measure == everything[0].one.kind.measure
    ]
    controls = [one.name for one in sets if is_control(one.name, results)]
    plain = [shown for shown in decided if shown.one.name not in controls]
    told = plain or decided
    aside = [shown for shown in decided if shown.one.name in controls] if plain else []
    return _shared(told, options), _by_depth(told), _correspondence(told, aside)


def is_control(name: str, results: StudyResults) -> bool:
    """Return whether texts were generated, or changed so that their meaning is gone.

    Parameters
    ----------
    name : str
        A text set of the results.
    results : StudyResults
        They say where the texts come from; of imported ones, the name does.
    """
    said = [*filter(None, results[name].sides)]
    for one in said:
        provenance = one.get("provenance") or {}
        if provenance.get("source") == "generated" or provenance.get("controls"):
            return True
    with contextlib.suppress(IsodepthError):  # a name that looks like a control, and is none
        return not said and taken_apart(name) is not None and not name.startswith("hf:")
    return False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Shown:
    """A pair of models on a text set."""

    one: TextSetAssessment
    pair: PairAssessment

    @property
    def verdict(self) -> str | None:
        return None if self.pair.decision is None else self.pair.decision.verdict

    @property
    def p_shared(self) -> float | None:
        return None if self.pair.decision is None else self.pair.decision.p_shared

    @property
    def calibrated(self) -> float:
        """The highest similarity, on a scale that different k and numbers of texts share."""
        highest, chance = float(self.pair.matrix.values.max()), self.pair.matrix.chance
        if chance is None or chance >= 1:
            return highest
        return (highest - chance) / (1 - chance)


def _by_chance(shown: _Shown) -> str:
    """Return what is known of chance where there is no verdict."""
    chance = shown.pair.matrix.chance
    if chance is None:
        return "what it is by chance is not known"
    return f"chance gives {chance:.3f}, how far it strays is not known"


def _shared(told: Sequence[_Shown], options: AssessmentOptions) -> str:
    """Return whether layers share neighbors beyond chance, and how many at most."""
    highest = _highest(told, options)
    decided = [shown for shown in told if shown.p_shared is not None]
    if not decided:
        why = "every text is a neighbor of every other, so nothing can be told"
        if told[0].verdict is None:
            why = _by_chance(told[0])
        return f"{highest[0].upper()}{highest[1:]}; {why}."
    shared = [shown for shown in decided if (shown.p_shared or 0) <= options.alpha]
    p_values = [shown.p_shared for shown in shared or decided if shown.p_shared is not None]
    alone = all(shown.pair.familywise is None for shown in decided)
    n_alone = sum(shown.pair.familywise is None for shown in decided)
    basis = ""
    if n_alone:
        whose = "" if alone else f"{n_alone:,} of these pairs "
        basis = f" ({whose}by the matrices alone, so how far that may be off is not known)"
    if len(told) == 1:
        left, right = _labels(told[0].pair)
        start = f"{'Layers' if shared else 'No layers'} of {left} and {right} share"
        p_value = f"p {_p(p_values[0], is_floored=alone)} over all pairs of layers"
        return f"{start} neighbors beyond chance on {_where(told)} ({p_value}): {highest}{basis}."
    share = f"{len(shared):,} of {len(told):,}" if len(shared) < len(told) else f"all {len(told):,}"
    each = ", each counted by itself" if len({_name(shown.one, told) for shown in told}) > 1 else ""
    start = f"In {share} pairs of models on {_where(told)}{each}, layers share neighbors beyond chance"
    how = ""
    if shared:
        at_most = _p(max(p_values), is_floored=alone, at_most=True)
        how = f" (p {at_most} each, over all pairs of layers"
        over_all = [shown.pair.over_all for shown in shared if shown.pair.over_all is not None]
        if over_all:
            n_still = sum(test.p_value <= options.alpha for test in over_all)
            how += f"; {n_still:,} also over all pairs of models of the text set"
        how += ")"
    return f"{start}{how}: {highest}{basis}."


def _by_depth(told: Sequence[_Shown]) -> str:
    """Return whether similarity goes by depth, and by how much."""
    contrast = _contrast(told)
    decisions = [shown.pair.decision for shown in told if shown.pair.decision is not None]
    if not decisions:
        return f"Whether similarity goes by depth has no verdict for this measure: {contrast}."
    n_alone = sum(decision.basis != "texts" for decision in decisions)
    by_estimates = ""
    if n_alone:
        whose = "" if n_alone == len(decisions) else f"{n_alone:,} of them "
        by_estimates = f", {whose}by estimates alone, whose error is not known"
    if len(told) > 1:
        verdicts = Counter(decision.verdict for decision in decisions)
        parts = [
            f"{number:,} {SAID[verdict][number > 1]}" for verdict, number in verdicts.most_common()
        ]
        return f"Of these pairs {_enumerated(parts)}{by_estimates}: {contrast}."
    decision, shape = decisions[0], told[0].pair.matrix.values.shape
    weakest = decision.weakest
    said = SAID_OF_ONE[decision.verdict]
    if decision.verdict == MATCHED and decision.p_depth is not None:
        said += f" (p = {decision.p_depth:.2g} for its weakest part)"
    elif decision.verdict == "undecided" and min(shape) < FEWEST_LAYERS:
        said += f", as a model has fewer than {FEWEST_LAYERS} layers"
    elif weakest is not None:
        said += f" ({RIDGE_PARTS[weakest.name]} is {weakest.estimate:+.3f}"
        said += ")" if weakest.upper is None else f", at most {weakest.upper:+.3f})"
    return f"{said}{by_estimates if decision.parts else ''}: {contrast}."


def _correspondence(told: Sequence[_Shown], aside: Sequence[_Shown]) -> str:
    """Return how layers correspond, what a ridge lacks, and what control texts give."""
    matched = [shown for shown in told if shown.verdict == MATCHED]
    if len(told) == 1:
        parts = [_one_map(told[0])]
    elif matched:
        absolute = [shown.pair.depth_map.departure.absolute for shown in matched]
        departures = sorted(one.value for one in absolute)
        size = f"{absolute[0]} of a model's depth on average (1 pair)"
        if len(matched) > 1:
            size = f"{statistics.median(departures):.3f} of a model's depth at the median "
            size += f"({departures[0]:.3f} to {departures[-1]:.3f} over {len(matched):,} pairs)"
        parts = [f"Where similarity goes by depth, corresponding layers are off proportional by {size}"]
    elif told[0].verdict is None:
        parts = ["Which layers correspond has no verdict either, and so says little"]
    else:
        parts = ["No ridge is shown, so which layers correspond says little"]
    if len(told) > 1:
        parts += _weakest(told)
    if aside:
        n_matched = sum(shown.verdict == MATCHED for shown in aside)
        goes = "goes" if n_matched == 1 else "go"
        parts.append(
            f"on control texts ({_where(aside)}) {n_matched:,} of {counted(len(aside), 'pair')} {goes} "
            "by depth throughout"
        )
    return "; ".join(parts) + "."


def _one_map(shown: _Shown) -> str:
    found = shown.pair.depth_map
    signed = found.departure.signed
    said = f"Corresponding layers are off proportional by {found.departure.absolute} of a model's depth"
    said += " on average"
    if signed.low is not None and signed.high is not None and signed.low * signed.high > 0:
        said += f", those of {_labels(shown.pair)[1]} {'deeper' if signed.value > 0 else 'shallower'}"
    if shown.verdict != MATCHED:
        return f"{said}, which says little where no ridge is shown"
    if found.match_disagreement > TRUSTED_DISAGREEMENT:
        off = f"{found.match_disagreement:.2f} of the depth"
        said += f", but layers' own most similar ones lie {off} from that map: it is not to be trusted"
    return said


def _weakest(told: Sequence[_Shown]) -> list[str]:
    """Return what speaks most against a ridge where there is none or it is in doubt."""
    found = [shown.pair.decision.weakest for shown in told if shown.pair.decision is not None]
    parts = [RIDGE_PARTS[part.name] for part in found if part is not None]
    if not parts:
        return []
    part, number = Counter(parts).most_common(1)[0]
    return [
        f"where a ridge is missing or in doubt, it is most often {part} ({number:,} of {len(parts):,})"
    ]


def _highest(told: Sequence[_Shown], options: AssessmentOptions) -> str:
    """Return the most similar pair of layers, with its interval, against chance."""
    shown = max(told, key=lambda one: one.calibrated)
    matrix = shown.pair.matrix
    cell = np.unravel_index(int(matrix.values.argmax()), matrix.values.shape)
    low, high = shown.pair.cell_intervals(options.level)
    found = Estimate(
        value=float(matrix.values[cell]),
        low=None if low is None else float(low[cell]),
        high=None if high is None else float(high[cell]),
        n=matrix.n_texts,
    )
    left, right = _labels(shown.pair)
    place = f"layer {cell[0] + 1} of {left} and layer {cell[1] + 1} of {right}"
    if len({_name(one.one, told) for one in told}) > 1:
        place += f" on {_name(shown.one, told)}"
    if shown.verdict is None:
        return f"the most similar by {matrix.measure}, {place}, reach {found}"
    neighbors = counted(matrix.k, "nearest neighbor")
    chance = f"where chance gives {matrix.chance:.3f}"
    return f"the most similar, {place}, have {found} of a text's {neighbors} in common, {chance}"


def _contrast(told: Sequence[_Shown]) -> str:
    """Return the paper's contrast, of each text set's models on average as far as that is known."""
    words = "mean similarity on the generalized diagonal minus that off it is"
    by_set: dict[str, Estimate] = {}
    units = set()
    for shown in told:
        part = shown.pair.profile.estimates.get("on_minus_off")
        if "on_minus_off" in shown.one.zoo:
            mean = shown.one.zoo["on_minus_off"].mean
            by_set[_name(shown.one, told)] = mean
            units.add(str(mean.resampled))
        elif len(shown.one.pairs) == 1 and part is not None:
            by_set[_name(shown.one, told)] = part
    found = [
        shown.pair.profile["on_minus_off"] for shown in told if "on_minus_off" in shown.pair.profile
    ]
    if not found:
        return "there are too few layers for a diagonal"
    if len(by_set) < len({_name(shown.one, told) for shown in told}):
        ordered = sorted(found, key=_value)
        return f"{words} {ordered[0]} to {ordered[-1]}, pair by pair"
    over = (
        f", on average over pairs with {_enumerated(sorted(units))} left out in turn" if units else ""
    )
    if len(by_set) == 1:
        return f"{words} {next(iter(by_set.values()))}{over}"
    by_value = sorted(by_set.items(), key=lambda entry: entry[1].value)
    (lowest_set, lowest), (highest_set, highest) = by_value[0], by_value[-1]
    return f"{words} {lowest} ({lowest_set}) to {highest} ({highest_set}){over}"


def _value(found: Estimate) -> float:
    return found.value


def _labels(pair: PairAssessment) -> tuple[str, str]:
    """Return the names of both models, told apart where they are the same."""
    left, right = pair.matrix.left, pair.matrix.right
    return (left, right) if left != right else (f"{left} (left)", f"{right} (right)")


def _name(one: TextSetAssessment, told: Sequence[_Shown]) -> str:
    """Return a text set's name, and what else tells it from others that are shown."""
    same = [other.one.kind for other in told if other.one.name == one.name]
    differing = [
        str(getattr(one.kind, what))
        for what in ("measure", "capture", "pooling")
        if len({getattr(kind, what) for kind in same}) > 1
    ]
    return f"{one.name} ({', '.join(differing)})" if differing else one.name


def _where(told: Sequence[_Shown]) -> str:
    names = list(dict.fromkeys(_name(shown.one, told) for shown in told))
    return _enumerated(names) if len(names) <= MOST_NAMED else f"{len(names)} text sets"


def _enumerated(words: Sequence[str]) -> str:
    """Return words as "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _p(value: float, *, is_floored: bool, at_most: bool = False) -> str:
    """Return a p-value with its sign; from a matrix alone it is not known below a floor."""
    if is_floored and value == LEAST_P:
        return f"< {LEAST_P:g}"
    return f"{'<=' if at_most else '='} {value:.2g}"
