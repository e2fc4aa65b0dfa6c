"""What results support, as tables in the terminal."""

from collections import Counter
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from isodepth.cli.study_tables import MOST_PAIRS, chance_text, columns
from isodepth.errors import counted
from isodepth.statistics.decision import LEAST_P
from isodepth.statistics.depth_map import TRUSTED_DISAGREEMENT

if TYPE_CHECKING:
    from isodepth.assessment import PairAssessment, StudyAssessment, TextSetAssessment
    from isodepth.statistics import Decision, Estimate

TREE_WIDTH = 90
PLACES = {
    "order_early": "first third",
    "order_middle": "middle third",
    "order_late": "last third",
    "center_over_right_first": "center against right's first layers",
    "center_over_right_last": "center against right's last layers",
    "center_over_left_first": "center against left's first layers",
    "center_over_left_last": "center against left's last layers",
}
"""Where the parts of a ridge lie, in few words."""


def assessment_lines(assessed: "StudyAssessment") -> list[str]:
    """Return what results support, a block a text set, and how to read it."""
    from isodepth.pipeline.assess import NO_VERDICTS

    lines: list[str] = []
    for one in assessed.sets:
        lines += ["", *_set_lines(one, assessed.options.alpha)]
    if any(NO_VERDICTS in one.notes for one in assessed.sets):
        lines += ["", f"note: {NO_VERDICTS}"]
    options = assessed.options
    if any(one.is_from_texts for one in assessed.sets):
        lines += [
            "",
            f"Intervals: {100 * options.level:g} %, texts resampled {options.n_resamples:,} times (of "
            "means over pairs: models left out one at a time).",
            "p shared tests whether any layers share neighbors beyond chance, by "
            f"{options.n_permutations:,} relabellings of the texts, all layer pairs considered; "
            "p depth whether every part of a ridge through the whole of depth is there.",
        ]
    return lines


def map_lines(assessed: "PairAssessment") -> list[str]:
    """Return which layers of two models correspond, how surely, and whether to trust it."""
    from isodepth.comparison import NO_DECISION

    found, matrix = assessed.depth_map, assessed.matrix
    to = found.left_to_right
    band = "band" if to.bands is None else f"{100 * to.bands.level:g} % band"
    rows: list[tuple[str, ...]] = [
        (matrix.left, matrix.right, "range", f"{band} of its middle", "similarity", "above the others")
    ]
    for place in range(len(to.layer)):
        band = "" if to.bands is None else f"{to.bands.low[place]:.1f} to {to.bands.high[place]:.1f}"
        first, last = int(to.first[place]), int(to.last[place])
        rows.append(
            (
                str(place + 1),
                str(int(to.nearest[place])),
                f"{first}" if first == last else f"{first} to {last}",
                band,
                f"{to.similarity[place]:.3f}",
                f"{to.margin[place]:+.3f}" if isfinite(to.margin[place]) else "–",
            )
        )
    departure = found.departure
    lines = [
        *columns(rows),
        "",
        f"Of {matrix.measured_by}, on {matrix.n_texts:,} texts"
        + (f" of {matrix.texts}." if matrix.texts else "."),
    ]
    lines.append(
        f"Depth of {matrix.right} minus that of {matrix.left}, of matched layers: mean "
        f"{departure.signed}, mean absolute {departure.absolute}."
    )
    for segment in found.segments:
        one, other = (
            (matrix.left, matrix.right) if segment.compressed == "left" else (matrix.right, matrix.left)
        )
        support = "" if segment.support is None else f"; in {100 * segment.support:.0f} % of resamples"
        lines.append(
            f"Compressed: {_layers(segment.first, segment.last)} of {one} correspond to "
            f"{_layers(segment.other_first, segment.other_last)} of {other}{support}."
        )
    lines.append(
        f"Similarity along the map {found.path_similarity:.3f}; of proportional depth "
        f"{found.proportional_similarity:.3f}; of all layer pairs {found.mean_similarity:.3f}."
    )
    decision = assessed.decision
    lines.append(NO_DECISION if decision is None else decision.sentence)
    if decision is None or decision.verdict != "depth-matched":
        lines.append(
            "note: there is a map between any two models; where there is no ridge it says little, and "
            "nothing where the last column is near 0."
        )
    if to.bands is None and decision is not None:
        lines.append(
            "note: no bands, as the neighbors that the matrix was made from are not in the store; "
            "--store names another."
        )
    if found.match_disagreement > TRUSTED_DISAGREEMENT:
        lines.append(
            f"note: layers' own most similar ones lie {found.match_disagreement:.2f} of the depth from "
            f"the map on average; above {TRUSTED_DISAGREEMENT} it is not to be trusted."
        )
    return lines


def _layers(first: int, last: int) -> str:
    return f"layer {first}" if first == last else f"layers {first} to {last}"


def _set_lines(one: "TextSetAssessment", alpha: float) -> list[str]:
    from isodepth.pipeline.assess import NO_VERDICTS

    lines = [f"{one.name} ({one.kind}; {one.matrices.n_texts:,} texts; {chance_text(one.matrices)})"]
    if not one.pairs:
        return [*lines, f"  only {one.matrices.left[0]} read it, so there is no pair of models"]
    lines += _pair_lines(one.pairs) if len(one.pairs) <= MOST_PAIRS else _many_lines(one.pairs)
    lines += _over_all_lines(one, alpha)
    if one.tree is not None and len(one.tree.models) > 2:
        lines.append("  Models by similarity along their depth maps (height: 1 is chance):")
        lines += [f"    {line}" for line in one.tree.lines(TREE_WIDTH)]
    return lines + [f"  note: {note}" for note in one.notes if note != NO_VERDICTS]


def _pair_lines(pairs: "Sequence[PairAssessment]") -> list[str]:
    """Return a row for each pair of models."""
    decisions = [pair.decision for pair in pairs if pair.decision is not None]
    rows: list[tuple[str, ...]] = [("left", "right", "mean", "on - off", "association")]
    if decisions:
        alone = all(decision.basis != "texts" for decision in decisions)
        rows[0] += ("p shared", "p depth", "verdict, by the matrix alone" if alone else "verdict")
    for pair in pairs:
        profile = pair.profile
        row: tuple[str, ...] = (
            pair.matrix.left,
            pair.matrix.right,
            str(profile["mean"]),
            _estimate(profile.estimates.get("on_minus_off")),
            _estimate(profile.estimates.get("association")),
        )
        if decisions:
            row += _decided(pair.decision)
        rows.append(row)
    return [f"  {line}" for line in columns(rows)]


def _decided(decision: "Decision | None") -> tuple[str, ...]:
    """Return the p-values and the verdict of a pair of models."""
    if decision is None:
        return ("", "", "")
    return (_p_shared(decision), _p(decision.p_depth), _verdict(decision))


def _many_lines(pairs: "Sequence[PairAssessment]") -> list[str]:
    """Return lines on many pairs: how often which verdict, and the range of the contrast."""
    verdicts = Counter(pair.decision.verdict for pair in pairs if pair.decision is not None)
    said = ", ".join(f"{number:,} {verdict}" for verdict, number in verdicts.most_common())
    lines = [f"  {len(pairs):,} pairs of models: {said or 'no verdicts'}"]
    contrasts = [
        (pair.profile["on_minus_off"], pair) for pair in pairs if "on_minus_off" in pair.profile
    ]
    if contrasts:
        ordered = sorted(contrasts, key=lambda entry: entry[0].value)
        for word, (estimate, pair) in (("lowest", ordered[0]), ("highest", ordered[-1])):
            lines.append(f"  {word} on - off: {estimate}, {pair.matrix.left} and {pair.matrix.right}")
    return lines


def _over_all_lines(one: "TextSetAssessment", alpha: float) -> list[str]:
    """Return what holds over all pairs: the paper's test, and the mean with models resampled."""
    lines = []
    tested = [pair.tests["student"] for pair in one.pairs if pair.tests]
    if len(tested) > 1:
        adjusted = one.adjusted["student", "bonferroni"]
        adjusted = adjusted[adjusted == adjusted]  # NaN of models with one layer
        passed = int((adjusted <= alpha).sum())
        lines.append(
            f"  The paper's t-test on cells, after Bonferroni: {passed:,} of "
            f"{counted(len(tested), 'pair')} at {alpha:g}; highest p {_p(float(max(adjusted)))} (cells "
            "are not independent samples)"
        )
    for part, words in (
        ("on_minus_off", "on - off"),
        ("association", "association"),
        ("weakest_part", "weakest part of the ridge"),
    ):
        if part in one.zoo:
            test = one.zoo[part]
            lines.append(
                f"  Mean {words} over pairs, {test.mean.n} {test.mean.resampled} left out one at a "
                f"time: {test.mean}, p = {_p(test.p_value)}"
            )
    return lines


def _verdict(decision: "Decision") -> str:
    """Return a verdict, and the part of a ridge that is least certain to be there."""
    weakest = decision.weakest
    return decision.verdict if weakest is None else f"{decision.verdict}: {PLACES[weakest.name]}"


def _p_shared(decision: "Decision") -> str:
    """Return the p-value of the first question; from a matrix alone it is not known below 0.001."""
    floored = decision.basis != "texts" and decision.p_shared == LEAST_P
    return f"< {LEAST_P:g}" if floored else _p(decision.p_shared)


def _estimate(estimate: "Estimate | None") -> str:
    return "" if estimate is None else str(estimate)


def _p(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2g}" if value >= 1e-300 else "< 1e-300"
