"""Draw everything that results give: every figure of the paper, in one go.

>>> write_figures("results/small", "figures")                                    # doctest: +SKIP

A folder of figures has one folder a text set, in it one a pair of models with figures of its own, and
``index.md``, which says of each figure what it shows and which one of the paper it stands for.

Memory: the assessment, and one figure.
"""

import html
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from isodepth.assessment import AssessmentOptions, StudyAssessment
from isodepth.atomic import refuse_unwritable, write_atomically
from isodepth.errors import ParameterError
from isodepth.figures.atlas import study_atlas
from isodepth.figures.entries import AtlasFigure
from isodepth.figures.featured import known_pairs
from isodepth.figures.saving import refuse_unknown_formats, save_figure
from isodepth.pipeline.assess import assess_study
from isodepth.pipeline.evidence import study_evidence
from isodepth.progress import Progress, no_progress
from isodepth.results import StudyResults, load_results
from isodepth.store import Store


def write_figures(
    results: StudyResults | Path | str,
    out: Path | str,
    *,
    assessed: StudyAssessment | None = None,
    texts: Sequence[str] = (),
    measures: Sequence[str] = (),
    ks: Sequence[int] = (),
    without: Sequence[str] = (),
    pairs: Sequence[tuple[str, str]] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    formats: Sequence[str] = ("png", "pdf"),
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
    options: AssessmentOptions | None = None,
    progress: Progress = no_progress,
) -> list[Path]:
    """Write all figures that results give; return their paths, the index's last.

    Each file is written whole or not at all; files of the same names are replaced.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    out : Path or str
        The folder for the figures.
    assessed : StudyAssessment, optional
        The statistics of the same results, where they were made before; then `texts`,
        `measures`, `ks` and `options` do not count.
    texts, measures, ks, groups, store, options
        As for `assess_study`.
    without : sequence of str
        Models to leave out, by label.
    pairs : sequence of (str, str)
        Pairs of models that get figures of their own; see `study_atlas`.
    formats : sequence of str
        Of `FORMATS`: one file each.
    folder : Path or str
        Where paths of texts that begin with ./ in the study are looked up.
    progress : Progress
        Told of statistics and of figures.

    Raises
    ------
    UnknownNameError
        If there are no results, or no such text set, measure or models.
    ParameterError
        If a format is unknown, or there is no pair of models.
    StoreError
        If results are damaged, or the folder cannot be written.
    """
    refuse_unknown_formats(formats)
    place = Path(out)
    # all that can be wrong is refused before the work
    refuse_unwritable(place)
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    loaded = loaded.without(without)
    wanted = [loaded[name] for name in dict.fromkeys(texts)] or list(loaded.sets.values())
    known = [
        (matrix.left, matrix.right)
        for one in wanted
        for matrices in one.matrices.values()
        for matrix in matrices.pairs()
    ]
    if not known:
        raise ParameterError(
            f"{loaded.name} has no pair of models, so there is nothing to draw",
            hint="read two models or more, or one model with parallel texts.",
        )
    known_pairs(pairs, known)
    found = assessed or assess_study(
        loaded,
        texts=texts,
        measures=measures,
        ks=ks,
        groups=groups,
        store=store,
        options=options,
        progress=progress,
    )
    names = list(dict.fromkeys(one.name for one in found.sets))
    atlas = study_atlas(
        found,
        loaded,
        evidence=study_evidence(loaded, texts=names, store=store, folder=folder),
        pairs=pairs,
        groups=groups,
    )
    formats, written = list(dict.fromkeys(formats)), []
    for number, one in enumerate(atlas):
        progress("drawing figures", number, len(atlas), "figures")
        figure = one.draw()
        for ending in formats:
            written.append(place / f"{one.name}.{ending}")
            save_figure(figure, written[-1])
    progress("drawing figures", len(atlas), len(atlas), "figures")
    index = place / "index.md"
    write_atomically(index, _index(loaded.name, atlas, formats).encode())
    return [*written, index]


def _index(name: str, atlas: Sequence[AtlasFigure], formats: Sequence[str]) -> str:
    """Return the page that says what the figures show, as Markdown."""
    lines = [f"# Figures of {_in_markdown(name)}"]
    for section in dict.fromkeys(one.section for one in atlas):
        lines += ["", f"## {_in_markdown(section)}", ""]
        lines += ["| figure | figure of the paper | what it shows |", "|---|---|---|"]
        for one in atlas:
            if one.section == section:
                files = ", ".join(f"[{ending}]({one.name}.{ending})" for ending in formats)
                shown = Path(one.name).name
                lines.append(
                    f"| {shown} ({files}) | {one.paper or 'none'} | {_in_markdown(one.caption)} |"
                )
    return "\n".join(lines) + "\n"


def _in_markdown(text: str) -> str:
    """Return a text from data that stands as it is in a line of Markdown, in a table or a heading."""
    line = " ".join(text.split())
    marked = re.sub(r"([\\`*_\[\]|~$#])", r"\\\1", line)
    # nor does an address become a link
    return html.escape(re.sub(r"(?<=[a-z])(?=://)|(?<=www)(?=\.)", r"\\", marked), quote=False)
