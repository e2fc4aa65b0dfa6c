"""Reports of made-up neighbors, with names and texts that would run if a page let them."""

import gc
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices, AffinityMatrix, all_affinities
from isodepth.assessment import (
    AssessmentOptions,
    PairAssessment,
    StudyAssessment,
    TextSetAssessment,
    assess_text_set,
    text_set,
)
from isodepth.models.paper import PAPER_MODELS
from isodepth.neighbors import Neighbors
from isodepth.report import report_payload, write_page
from isodepth.results import (
    Evidence,
    EvidenceKey,
    MatrixKind,
    StudyResults,
    TextSetResults,
    evidence_key,
)
from isodepth.texts import ParallelTexts, TextSet

N_TEXTS, K, STORED = 61, 5, 20
OPTIONS = AssessmentOptions(n_permutations=39, n_resamples=101, seed=7)
BOLD, FORMULA, SHEET = (
    '<b>bold</b> & "quoted" &lt;i&gt;',
    "$x_1$ %{x} %{customdata[0]} %{meta[1]} {{title}}",
    "=HYPERLINK(1),模型😀<img src=x onerror=pwned=1>",
)
LAYERS = {BOLD: 7, FORMULA: 5, SHEET: 11}
MARKUP, PARALLEL = "markup & </script><script>pwned=2</script>", "left x right"
LEFT_TEXTS, RIGHT_TEXTS = "in <i>one</i> language", "in another"
HARMFUL = (
    "<script>window.pwned = 3</script>",
    "<img src=x onerror='window.pwned = 4'>",
    "</script><script>window.pwned = 5</script>",
    "<!--<script>",
    "<svg/onload=window.pwned=6>&lt;b&gt;&amp;&#60;",
    '"><a href="javascript:pwned=7" onclick="pwned=8">click</a>',
    "{{ 7 * 7 }} {% raw %} ${pwned=9} %{x} %{customdata[0]} $x^2$ \\(y\\)",
    "مرحبا بالعالم \u202e turned around \u202c",
    "漢字かな交じり文 한국어 ไทย",
    "👩‍👩‍👧‍👦 emoji 🏳️‍🌈",
    "zero\u200bwidth\ufeff and \x01\x02\x0b\x1f\x7f control",
    "one\ntext\r\nof\tlines \u2028 and \u2029 ends",
    "w" * 3000,
    "<style>body { display: none }</style><base href='http://example.com/'>",
)
PAPER_LAYERS = tuple(model.n_layers for model in PAPER_MODELS.values())
"""Of the paper's 24 models (Table 1)."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """A report, and what it was made from."""

    path: Path
    payload: dict[str, Any]
    assessed: StudyAssessment
    evidence: dict[EvidenceKey, Evidence]

    def matrices(self, name: str, k: int) -> AffinityMatrices:
        """Return a text set's matrices at any k, from the neighbors."""
        left, right = self.sides(name)
        digests = [side[0].texts_digest for side in (left, right or left)]
        pairing = None
        if right is not None:
            found = next(one for one in self.evidence.values() if one.right is not None)
            pairing = ParallelTexts.of(found.texts, found.right_texts).pairing
            assert digests == [pairing.left, pairing.right]
        return all_affinities(left, right=right, k=k, pairing=pairing)

    def sides(self, name: str) -> tuple[list[Neighbors], list[Neighbors] | None]:
        found = self[name]
        evidence = next(one for key, one in self.evidence.items() if key.texts == name)
        return evidence.sides(found.matrices)

    def neighbors(self, name: str, left: str, right: str) -> tuple[Neighbors, Neighbors]:
        """Return the neighbors of two models."""
        rows, columns = self.sides(name)
        return (
            next(one for one in rows if one.model == left),
            next(one for one in columns or rows if one.model == right),
        )

    def __getitem__(self, name: str) -> TextSetAssessment:
        return next(one for one in self.assessed.sets if one.name == name)

    def pair(self, name: str, left: str, right: str) -> tuple[PairAssessment, bool]:
        """Return what is known of two models, and whether it is of them the other way round."""
        by_labels = {(one.matrix.left, one.matrix.right): one for one in self[name].pairs}
        if (left, right) in by_labels:
            return by_labels[left, right], False
        return by_labels[right, left], True

    def intervals(self, name: str, left: str, right: str) -> tuple[np.ndarray, np.ndarray]:
        """Return where each similarity's interval begins and ends."""
        pair, is_turned = self.pair(name, left, right)
        low, high = pair.cell_intervals(OPTIONS.level)
        assert low is not None
        assert high is not None
        return (low.T, high.T) if is_turned else (low, high)


def said(value: float | None, digits: int = 3) -> str:
    """Return a number as the page writes it."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def texts_of(name: str, *, harmful: tuple[str, ...]) -> TextSet:
    """Return texts, the harmful ones among them at the front."""
    plain = [f"{name} text {number} speaks of topic {number % 7}" for number in range(N_TEXTS)]
    return TextSet.of([*harmful, *plain[len(harmful) :]], name=name)


def neighbors_of(model: str, texts: TextSet, *, seed: int, content: int) -> Neighbors:
    """Return a model's neighbors; models of one content share a ridge through the whole of depth."""
    n_layers = LAYERS[model]
    shared = np.random.default_rng(content).normal(size=(29, N_TEXTS, 4))
    middles, places = (np.arange(n_layers) + 0.5) / n_layers, (np.arange(29) + 0.5) / 29
    weights = np.exp(-(((middles[:, None] - places) / 0.1) ** 2))
    values = np.einsum("lp,ptu->ltu", weights, shared)
    values += np.random.default_rng(seed).normal(scale=0.5, size=values.shape)
    distances = np.linalg.norm(values[:, :, None] - values[:, None], axis=3)
    distances[:, np.arange(N_TEXTS), np.arange(N_TEXTS)] = np.inf
    ids = distances.argsort(axis=2)[:, :, :STORED].astype(np.int32)
    similarities = np.zeros(ids.shape, dtype=np.float32)
    return Neighbors(ids=ids, similarities=similarities, model=model, texts_digest=texts.digest)


def small_report(folder: Path) -> Made:
    """Write a report of 3 models on a text set full of markup and on a parallel one."""
    texts = texts_of(MARKUP, harmful=HARMFUL)
    parallel = ParallelTexts.of(
        texts_of("English", harmful=()), texts_of("Deutsch", harmful=HARMFUL[:3])
    )
    models = [neighbors_of(model, texts, seed=seed, content=3) for seed, model in enumerate(LAYERS)]
    left = [
        neighbors_of(model, parallel.left, seed=11 + seed, content=5)
        for seed, model in enumerate((BOLD, FORMULA))
    ]
    right = [
        neighbors_of(model, parallel.right, seed=17 + seed, content=5)
        for seed, model in enumerate((FORMULA, SHEET))
    ]
    kind = MatrixKind("mutual_knn", K)
    sets, results, evidence = [], {}, {}
    for name, rows, columns, pairing in (
        (MARKUP, models, None, None),
        (PARALLEL, left, right, parallel.pairing),
    ):
        by_k = {k: all_affinities(rows, right=columns, k=k, pairing=pairing) for k in (1, K)}
        sets.append(assess_text_set(name, kind, by_k[K], left=rows, right=columns, options=OPTIONS))
        results[name] = TextSetResults(
            name=name,
            matrices={kind._replace(k=k): found for k, found in by_k.items()},
            description={
                "texts": {"name": name if columns is None else LEFT_TEXTS},
                "right_texts": None if columns is None else {"name": RIGHT_TEXTS},
                "readings": [{"label": BOLD, "model": "<i>x</i>"}],
            },
        )
        pair = (texts, None) if columns is None else (parallel.left, parallel.right)
        evidence[name] = Evidence(
            left={one.model: one for one in rows},
            right=None if columns is None else {one.model: one for one in columns},
            texts=pair[0],
            right_texts=pair[1],
            notes=("<b>a note</b>",),
        )
    return _written(folder / "small.html", sets, results, evidence)


def bare_report(folder: Path) -> Made:
    """Write a report of 2 models on plain texts, without the neighbors."""
    texts = texts_of("plain", harmful=())
    models = [neighbors_of(model, texts, seed=23, content=3) for model in (BOLD, FORMULA)]
    kind = MatrixKind("mutual_knn", K)
    matrices = all_affinities(models, k=K)
    assessed = assess_text_set("plain", kind, matrices, options=OPTIONS)
    results = {"plain": TextSetResults(name="plain", matrices={kind: matrices})}
    return _written(folder / "bare.html", [assessed], results, {})


def directed_report(folder: Path) -> Made:
    """Write a report of 3 models by a measure that tells left from right and takes no neighbors."""
    values = np.random.default_rng(31).uniform(size=(sum(LAYERS.values()),) * 2)
    matrices = AffinityMatrices(
        values=values,
        left=tuple(LAYERS),
        right=tuple(LAYERS),
        left_layers=tuple(LAYERS.values()),
        right_layers=tuple(LAYERS.values()),
        is_symmetric=True,
        measure="ridge_to_right",
        k=0,
        n_texts=N_TEXTS,
        metric=None,
    )
    kind = MatrixKind("ridge_to_right", 0)
    assessed = assess_text_set("plain", kind, matrices, options=OPTIONS)
    results = {"plain": TextSetResults(name="plain", matrices={kind: matrices})}
    return _written(folder / "directed.html", [assessed], results, {})


def paper_sized_report(folder: Path) -> Made:
    """Write a report of 24 models from matrices alone, as large as the published ones.

    A matrix depends on nothing but its shape, so each shape is assessed once.
    """
    depths = np.concatenate([(np.arange(n) + 0.5) / n for n in PAPER_LAYERS])
    gaps, middles = depths[:, None] - depths, (depths[:, None] + depths) / 2
    ripple = 0.02 * np.cos(97 * gaps) * np.cos(89 * middles)
    n_texts, k = 2048, 10
    values = 0.04 + (0.3 + 0.2 * middles) * np.exp(-((gaps / 0.15) ** 2)) + ripple
    values = np.round(values.clip(0, 1) * n_texts * k) / (n_texts * k)
    labels = tuple(
        f"maker-{place % 5}/model-{place}-{n}-layers" for place, n in enumerate(PAPER_LAYERS)
    )
    matrices = AffinityMatrices(
        values=values,
        left=labels,
        right=labels,
        left_layers=PAPER_LAYERS,
        right_layers=PAPER_LAYERS,
        is_symmetric=True,
        measure="mutual_knn",
        k=k,
        n_texts=n_texts,
        texts="web-text",
    )
    kind = MatrixKind("mutual_knn", k)
    by_shape: dict[tuple[int, ...], PairAssessment] = {}
    assess_one = text_set.assessment

    def assessed_once(matrix: AffinityMatrix, **settings: Any) -> PairAssessment:
        shape = matrix.values.shape
        if shape not in by_shape:
            by_shape[shape] = assess_one(matrix, **settings)
        return replace(by_shape[shape], matrix=matrix)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_set, "assessment", assessed_once)
        patch.setattr(gc, "collect", lambda *_: 0)  # statsmodels calls it at each correction
        assessed = assess_text_set("web-text", kind, matrices, options=OPTIONS)
    results = {"web-text": TextSetResults(name="web-text", matrices={kind: matrices})}
    return _written(folder / "paper.html", [assessed], results, {})


def _written(
    path: Path,
    sets: list[TextSetAssessment],
    results: dict[str, TextSetResults],
    evidence: dict[str, Evidence],
) -> Made:
    study = StudyResults(name="tiny <study>", sets=results)
    assessed = StudyAssessment(name="tiny <study>", sets=tuple(sets), options=OPTIONS)
    by_key = {evidence_key(one.name, one.kind): evidence[one.name] for one in sets if evidence}
    payload = report_payload(assessed, results=study, evidence=by_key, explain="all")
    return Made(path=write_page(path, payload), payload=payload, assessed=assessed, evidence=by_key)
