"""What does that which statistics found look like in a notebook? Verdicts and key numbers."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from isodepth.affinity.shown import matrices_html, matrix_html
from isodepth.errors import counted
from isodepth.notebook import card, table
from isodepth.statistics import generalized_diagonal
from isodepth.statistics.depth_map import TRUSTED_DISAGREEMENT

if TYPE_CHECKING:
    from isodepth.assessment.pair import PairAssessment
    from isodepth.assessment.study import StudyAssessment
    from isodepth.assessment.text_set import TextSetAssessment

MOST_PAIRS = 12
PARTS = {
    "on_mean": "on the generalized diagonal",
    "off_mean": "off it",
    "on_minus_off": "on minus off",
    "weakest_part": "weakest part of a ridge",
}
"""Parts of the profile that are shown of a pair, in few words."""
NO_DECISION = "no decision: the chance level of this measure is not known"


def pair_html(pair: "PairAssessment", *, kind: str = "PairAssessment") -> str:
    """Return the HTML of what was found in two models' matrix: the verdict first."""
    decision, profile, found = pair.decision, pair.profile, pair.depth_map
    rows = {words: str(profile[part]) for part, words in PARTS.items() if part in profile}
    rows[f"depth in {pair.matrix.right} minus that in {pair.matrix.left}"] = str(found.departure.signed)
    notes = []
    if found.match_disagreement > TRUSTED_DISAGREEMENT:
        notes.append(
            f"Layers' own most similar ones lie {found.match_disagreement:.2f} of the depth from the "
            f"depth map on average; above {TRUSTED_DISAGREEMENT} it is not to be trusted."
        )
    mean = profile["mean"]
    notes.append(
        "From the matrix alone: no intervals."
        if mean.level is None
        else f"Intervals: {100 * mean.level:g} %, {mean.n:,} {mean.resampled} resampled."
    )
    shape = pair.matrix.values.shape
    return matrix_html(
        pair.matrix,
        kind=kind,
        sentence=NO_DECISION if decision is None else f"{decision.verdict}: {decision.sentence}",
        rows=rows,
        outline=generalized_diagonal(*shape) if min(shape) > 1 else None,
        outlined="the generalized diagonal",
        notes=notes,
    )


def text_set_html(one: "TextSetAssessment") -> str:
    """Return the HTML of what was found on a text set: verdicts, and every pair if there are few."""
    rows = {}
    for part, words in (("on_minus_off", "mean on minus off"), ("association", "mean association")):
        if part in one.zoo:
            mean = one.zoo[part].mean
            rows[f"{words} over pairs"] = f"{mean}, {mean.n} {mean.resampled} left out one at a time"
    few = len(one.pairs) <= MOST_PAIRS
    contrasts = [pair for pair in one.pairs if "on_minus_off" in pair.profile]
    ordered = sorted(contrasts, key=lambda pair: pair.profile["on_minus_off"].value)
    shown = [("", pair) for pair in one.pairs]
    if not few:
        shown = [("lowest", ordered[0]), ("highest", ordered[-1])] if ordered else []
    tables = []
    if shown:
        first = [] if few else ["on minus off is"]
        lines = [([] if few else [place]) + _pair_row(pair) for place, pair in shown]
        header = [*first, "left", "right", "on minus off", "highest", "verdict"]
        tables.append(table(lines, header=header))
    return matrices_html(
        one.matrices,
        kind="TextSetAssessment",
        name=f"{one.name} ({one.kind})",
        sentence=f"{counted(len(one.pairs), 'pair')} of models: {_verdicts(one.pairs)}",
        rows=rows,
        tables_html=tables,
        notes=[*one.notes, *([] if one.is_from_texts else ["From matrices alone: no intervals."])],
    )


def study_html(study: "StudyAssessment") -> str:
    """Return the HTML of what was found in a study: a row a text set and kind of matrix."""
    header = ("texts", "matrices", "n texts", "pairs", "verdicts", "mean on minus off over pairs")
    lines = []
    for one in study.sets:
        mean = one.zoo["on_minus_off"].mean if "on_minus_off" in one.zoo else None
        lines.append(
            (
                one.name,
                str(one.kind),
                f"{one.matrices.n_texts:,}",
                f"{len(one.pairs):,}",
                _verdicts(one.pairs),
                "" if mean is None else str(mean),
            )
        )
    chosen = study.options
    notes = ["Intervals of means over pairs: models, or groups of them, left out one at a time."]
    if any(one.is_from_texts for one in study.sets):
        notes.append(
            f"Texts relabelled {chosen.n_permutations:,} and resampled {chosen.n_resamples:,} times; "
            f"verdicts at an error rate of {chosen.alpha:g}."
        )
    else:
        notes.append("From matrices alone: verdicts by estimates, whose error is not known.")
    return card("StudyAssessment", study.name, tables_html=[table(lines, header=header)], notes=notes)


def _pair_row(pair: "PairAssessment") -> list[str]:
    estimate = pair.profile.estimates.get("on_minus_off")
    return [
        pair.matrix.left,
        pair.matrix.right,
        "" if estimate is None else str(estimate),
        f"{pair.matrix.values.max():.3f}",
        NO_DECISION if pair.decision is None else pair.decision.verdict,
    ]


def _verdicts(pairs: "Sequence[PairAssessment]") -> str:
    """Return how often which verdict was reached."""
    counts = Counter("no decision" if one.decision is None else one.decision.verdict for one in pairs)
    return ", ".join(f"{n:,} {verdict}" for verdict, n in counts.most_common())
