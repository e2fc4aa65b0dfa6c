"""From results to the page that shows them: statistics, evidence, payload, file.

>>> report = write_report("results/small", "report.html")                       # doctest: +SKIP
>>> print(*report.sentences)                                                     # doctest: +SKIP

Memory: the neighbors of one text set, as memory maps, and what `isodepth.assessment` and
`isodepth.report` take.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isodepth.assessment import AssessmentOptions, StudyAssessment
from isodepth.atomic import refuse_unwritable
from isodepth.pipeline.assess import assess_study
from isodepth.pipeline.evidence import study_evidence
from isodepth.progress import Progress, no_progress
from isodepth.report import Explain, refuse_unknown_pairs, report_payload, write_page
from isodepth.results import StudyResults, load_results
from isodepth.store import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """A report that was written.

    Parameters
    ----------
    path : Path
        The file.
    size_bytes : int
        Its size.
    sentences : tuple of str
        What the numbers support, in three sentences.
    explained : tuple of str
        The text sets whose neighbor lists are in it.
    notes : tuple of str
        What to mind of text sets, each once.
    """

    path: Path
    size_bytes: int
    sentences: tuple[str, ...]
    explained: tuple[str, ...]
    notes: tuple[str, ...]


def write_report(
    results: StudyResults | Path | str,
    path: Path | str = "report.html",
    *,
    assessed: StudyAssessment | None = None,
    texts: Sequence[str] = (),
    measures: Sequence[str] = (),
    ks: Sequence[int] = (),
    without: Sequence[str] = (),
    groups: Mapping[str, Sequence[str]] | None = None,
    explain: Explain = "auto",
    store: Store | Path | str | None = None,
    folder: Path | str = ".",
    options: AssessmentOptions | None = None,
    progress: Progress = no_progress,
) -> WrittenReport:
    """Write one HTML file that shows what results hold and support; it needs no network.

    Parameters
    ----------
    results : StudyResults, Path or str
        Results, or where they are; see `load_results`.
    path : Path or str
        The file.
    assessed : StudyAssessment, optional
        Their statistics, where they were made before; then `texts`, `measures`, `ks`, `groups` and
        `options` do not count.
    texts, measures, ks, groups, options
        As for `assess_study`.
    without : sequence of str
        Models to leave out, by label.
    explain : "auto", "all", "none", or sequence of (str, str)
        Of which models the neighbor lists go in, which show text by text why two layers are similar:
        all if they take at most 3 MB, all in any case, none, or those of pairs of labels.
    store : Store, Path or str, optional
        Where the neighbors are; `Store()` where it is left out. Without them, there are matrices alone.
    folder : Path or str
        Where paths of texts that begin with ./ in the study are looked up.
    progress : Progress
        Told how far the statistics are.

    Raises
    ------
    UnknownNameError, ParameterError
        If there are no results, or something that is asked for is not in them.
    StoreError
        If results are damaged, or the file cannot be written.
    """
    place = Path(path)
    # what cannot be done is refused before the work, not after it
    refuse_unwritable(place.parent)
    loaded = results if isinstance(results, StudyResults) else load_results(results)
    loaded = loaded.without(without)
    shown = list(texts) if assessed is None else [one.name for one in assessed.sets]
    wanted = [loaded[name] for name in shown] or loaded.sets.values()
    refuse_unknown_pairs(explain, [one for found in wanted for one in found.matrices.values()])
    kept = open_store(store)
    found = assessed or assess_study(
        loaded,
        texts=texts,
        measures=measures,
        ks=ks,
        groups=groups,
        store=kept,
        options=options,
        progress=progress,
    )
    names = list(dict.fromkeys(one.name for one in found.sets))
    evidence = study_evidence(loaded, texts=names, store=kept, folder=folder)
    payload = report_payload(found, results=loaded, evidence=evidence, explain=explain)
    written = write_page(place, payload)
    return WrittenReport(
        path=written,
        size_bytes=written.stat().st_size,
        sentences=tuple(payload["sentences"]),
        explained=tuple(one["name"] for one in payload["sets"] if one["explain"] is not None),
        notes=tuple(dict.fromkeys(note for one in payload["sets"] for note in one["notes"])),
    )
