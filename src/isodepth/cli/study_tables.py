"""A study as tables in the terminal: what is planned, how it stands, what came out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from isodepth.cli.results import megabytes
from isodepth.errors import counted

if TYPE_CHECKING:
    from isodepth.affinity import AffinityMatrices, AffinityMatrix
    from isodepth.pipeline.planned import PlannedReading, PlannedSet, StudyPlan
    from isodepth.results import MatrixKind, StudyResults, TextSetResults

MOST_PAIRS = 12
"""Pairs of models that are shown one by one; of more, a line for the text set."""
MOST_HEADER = 14


def duration(seconds: float) -> str:
    """Return a time as people read it: "8 s", "3 min", "2.5 h"."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    if seconds < 100 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def state_table(plan: "StudyPlan") -> list[str]:
    """Return how every reading stands, models in rows and text sets in columns."""
    columns = list(dict.fromkeys(planned.texts for planned in plan.readings))
    rows = list(dict.fromkeys(planned.model for planned in plan.readings))
    cells = {(planned.model, planned.texts): _state(planned) for planned in plan.readings}
    headers = [_cut(name, MOST_HEADER) for name in columns]
    widths = [
        max(len(header), *(len(cells.get((row, name), "")) for row in rows))
        for header, name in zip(headers, columns, strict=True)
    ]
    first = max((len(row) for row in rows), default=0)
    lines = ["  ".join([" " * first, *map(str.ljust, headers, widths)])]
    for row in rows:
        said = [cells.get((row, name), "") for name in columns]
        lines.append("  ".join([row.ljust(first), *map(str.ljust, said, widths)]))
    return [line.rstrip() for line in lines]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _state(planned: "PlannedReading") -> str:
    percent = f"{100 * planned.share_done:.0f} %"
    return {
        "done": "done",
        "to do": "to do",
        "begun": percent,
        "running": f"now {percent}" if planned.so_far else "now",
    }[planned.state]


def plan_lines(plan: "StudyPlan") -> list[str]:
    """Return what a study will take, in a few lines."""
    from isodepth.pipeline.estimates import known_sum

    study = plan.study
    n_pairs = sum(_n_pairs(planned) for planned in plan.sets)
    readers = {
        (reader.label, reader.options.chat)
        for planned in plan.sets
        for selection in planned.selections.values()
        for reader in (*selection.left, *selection.columns)
    }
    n_chat = sum(chat for _, chat in readers)
    lines = [
        f"{study.name}: {counted(len(readers) - n_chat, 'model')}"
        + (f" ({n_chat} also as chat)" if n_chat else "")
        + f" on {counted(len(plan.sets), 'text set')}: {counted(n_pairs, 'pair')} of models. Matrices "
        f"of all layers: {plan.n_matrices:,}; {plan.n_stored_matrices:,} in the store"
    ]
    lines += [f"Note: {note}." for note in plan.notes]
    if plan.imported:
        lines.append("Readings are those that were imported; no model is run.")
        return lines
    done, todo = plan.with_state("done"), plan.with_state("to do", "begun", "running")
    begun, running = plan.with_state("begun"), plan.with_state("running")
    parts = [f"{len(done):,} in the store", f"{len(todo):,} to do"]
    if begun:
        parts.append(f"{len(begun):,} of these begun")
    if running:
        parts.append(f"{len(running):,} of these at work in another run")
    lines.append(f"Readings (a model on a text set): {len(plan.readings):,}; {', '.join(parts)}")
    if not todo:
        return lines
    tokens = sum(round((1 - one.share_done) * one.n_tokens) for one in todo)
    seconds, n_unknown = known_sum(one.seconds for one in todo)
    kept, n_unsized = known_sum(one.kept_bytes for one in todo)
    passing = max((one.passing_bytes or 0 for one in todo), default=0)
    time_said = (
        "unknown, because no such model was read before"
        if n_unknown == len(todo)
        else (
            f"about {duration(seconds)}"
            + (f", and that of {counted(n_unknown, 'reading')} unknown" if n_unknown else "")
        )
    )
    lines.append(f"To read: about {tokens:,} tokens. Time to read: {time_said} (one task at a time).")
    sizes = "unknown, because the sizes of the models are"
    if n_unsized < len(todo):
        sizes = (
            f"about {megabytes(round(kept))} stay in the store, and up to {megabytes(passing)} more "
            "while a model reads"
            + (f"; that of {counted(n_unsized, 'reading')} is unknown" if n_unsized else "")
        )
    lines.append(f"Disk: {sizes}.")
    if plan.download_bytes:
        lines.append(f"To download first: {megabytes(plan.download_bytes)} of models.")
    return lines


def _n_pairs(planned: "PlannedSet") -> int:
    """Return how many pairs of models a text set has, each once."""
    one = next(iter(planned.selections.values()))
    n_left = len(one.left)
    return n_left * (n_left - 1) // 2 if one.right is None else n_left * len(one.right)


def missing_lines(missing: Sequence[tuple[str, str, str | None]]) -> list[str]:
    """Return what cannot be had, with reasons and what to do; each hint once."""
    lines = [f"cannot be had: {what}: {reason}" for what, reason, _ in missing]
    hints = dict.fromkeys(hint for _, _, hint in missing if hint)
    return [*lines, *(f"hint: {hint}" for hint in hints)]


def results_lines(results: "StudyResults") -> list[str]:
    """Return what came out, a block a text set."""
    lines: list[str] = []
    for found in results.sets.values():
        for kind in shown_kinds(found):
            matrices = found.matrices[kind]
            lines += ["", f"{found.name} ({kind}; {chance_text(matrices)})"]
            pairs = list(matrices.pairs())
            if not pairs:
                lines.append(f"  only {matrices.left[0]} read it, so there is no pair of models")
                continue
            lines += _pair_lines(pairs) if len(pairs) <= MOST_PAIRS else _summary_lines(pairs)
    return lines


def chance_text(matrices: "AffinityMatrices") -> str:
    """Return the chance level of matrices in words, and what was unusual in measuring them."""
    from isodepth.affinity.measures import unusual_reading

    chance = "chance not known" if matrices.chance is None else f"chance {matrices.chance:.3f}"
    return "; ".join([*unusual_reading(matrices.metric, matrices.preprocessing), chance])


def shown_kinds(found: "TextSetResults") -> "list[MatrixKind]":
    """Return which of a text set's matrices are shown: of each measure k = 10 or else the first."""
    by_measure: dict[str, list[MatrixKind]] = {}
    for kind in found.matrices:
        by_measure.setdefault(kind.measure, []).append(kind)
    return [next((kind for kind in kinds if kind.k == 10), kinds[0]) for kinds in by_measure.values()]


def _pair_lines(pairs: "list[AffinityMatrix]") -> list[str]:
    from isodepth.statistics.diagonal import diagonal_means

    rows = [("left", "right", "mean", "highest, at layers", "on", "off")]
    for pair in pairs:
        values = pair.values
        means = diagonal_means(values) if min(values.shape) > 1 else None
        place = divmod(int(values.argmax()), values.shape[1])
        rows.append(
            (
                pair.left,
                pair.right,
                f"{values.mean():.3f}",
                f"{values.max():.3f}, {place[0] + 1} × {place[1] + 1}",
                *(("", "") if means is None else (f"{mean:.3f}" for mean in means)),
            )
        )
    return [f"  {line}" for line in columns(rows)]


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines, each column as wide as its widest entry."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _summary_lines(pairs: "list[AffinityMatrix]") -> list[str]:
    """Return one line on many pairs, each pair counting once."""
    from isodepth.statistics.diagonal import diagonal_means

    means = [float(pair.values.mean()) for pair in pairs]
    on_and_off = [diagonal_means(pair.values) for pair in pairs if min(pair.values.shape) > 1]
    differences = [on - off for on, off in on_and_off]
    on_above = sum(difference > 0 for difference in differences)
    lines = [
        f"  {len(pairs):,} pairs of models; mean similarity {sum(means) / len(means):.3f} "
        f"({min(means):.3f} to {max(means):.3f})",
    ]
    if differences:
        lines.append(
            f"  on the generalized diagonal above off it in {on_above:,} of {len(differences):,}; mean "
            f"difference {sum(differences) / len(differences):.4f}"
        )
    return lines
