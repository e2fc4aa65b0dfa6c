"""A small study in memory: models whose layers turn from one pattern to another, and other kinds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from isodepth.affinity import AffinityMatrices, all_affinities
from isodepth.assessment import (
    AssessmentOptions,
    StudyAssessment,
    TextSetAssessment,
    assess_text_set,
)
from isodepth.neighbors import Neighbors
from isodepth.results import (
    Evidence,
    EvidenceKey,
    MatrixKind,
    StudyResults,
    TextSetResults,
    evidence_key,
)
from isodepth.texts import ParallelTexts, TextSet

N_TEXTS, STORED_K = 53, 13
LAYERS = {"ann": 7, "bob": 11, "cyd": 8}
QUICK = AssessmentOptions(n_permutations=19, n_resamples=100, seed=7)
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <script> --> ]]> <img src=x onerror=alert(1)>",
    "{{ title }} {% raw %} ${x} `y` \\u003c \\",
    "line\u2028and\u2029paragraph \x00\x07\x1b[31m \r\n\t",
    "\u202eright to left\u202c \u200b\ufeff عربى 漢字 👩‍👩‍👧 e\u0301",
    "&lt;b&gt; &amp; ' \" = /",
)
"""Texts that a careless page would run, or lose letters of."""


@dataclass(frozen=True)
class Made:
    """Results, their statistics, and what they were made from."""

    results: StudyResults
    assessed: StudyAssessment
    evidence: Mapping[EvidenceKey, Evidence]

    def named(self, *names: str) -> StudyAssessment:
        """Return the statistics of some text sets."""
        return replace(
            self.assessed, sets=tuple(one for one in self.assessed.sets if one.name in names)
        )


def nearest(activations: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the k nearest by cosine, the obvious way: int32 (layers, texts, k)."""
    unit = activations / np.linalg.norm(activations, axis=-1, keepdims=True)
    similarities = unit @ unit.transpose(0, 2, 1)
    similarities[:, np.arange(unit.shape[1]), np.arange(unit.shape[1])] = -np.inf
    return np.argsort(-similarities, axis=-1, kind="stable")[..., :k].astype(np.int32)


def turning(name: str, n_layers: int, texts: TextSet, *, seed: int = 5) -> Neighbors:
    """Return neighbors of a model whose layers turn from one random pattern to others with depth."""
    shared = np.random.default_rng(seed).normal(size=(4, len(texts), 9))
    own = np.random.default_rng([*name.encode()]).normal(size=(n_layers, len(texts), 9))
    depths = 3 * (np.arange(n_layers) + 0.5) / n_layers
    weights = np.maximum(0, 1 - np.abs(depths[:, np.newaxis] - np.arange(4)))
    activations = np.einsum("lp,ptu->ltu", weights, shared) + 0.3 * own
    ids = nearest(activations, STORED_K)
    return Neighbors(
        ids=ids,
        similarities=np.full(ids.shape, np.nan, np.float32),
        model=name,
        texts_digest=texts.digest,
    )


def described(texts: TextSet, right: TextSet | None, readers: Sequence[Neighbors]) -> dict[str, object]:
    return {
        "texts": texts.described(),
        "right_texts": None if right is None else right.described(),
        "readings": [{"label": one.model, "n_layers": one.n_layers} for one in readers],
    }


def assessed_set(
    name: str, kind: MatrixKind, matrices: AffinityMatrices, evidence: Evidence | None
) -> TextSetAssessment:
    left, right = (None, None) if evidence is None else evidence.sides(matrices)
    return assess_text_set(name, kind, matrices, left=left, right=right, options=QUICK)


def made_study() -> Made:
    """Return results on texts of three models (k = 3 and 10), on parallel ones, of another measure, and of
    matrices alone.
    """
    letters = np.random.default_rng(3)
    words = [*HOSTILE, *("".join(chr(c) for c in letters.integers(97, 123, 9)) for _ in range(46))]
    texts = TextSet.of([*words, "x" * 1_003], name="plain </script> & co")
    german = TextSet.of([f"deutsch {text}" for text in texts.texts], name="german")
    models = [turning(name, n_layers, texts) for name, n_layers in LAYERS.items()]
    others = [replace(turning(name, LAYERS[name], german), model=name) for name in ("bob", "cyd")]
    pairing = ParallelTexts.of(texts, german).pairing
    plain = {k: all_affinities(models, k=k) for k in (3, 10)}
    parallel = all_affinities(models, right=others, k=10, pairing=pairing)
    noise = replace(plain[10], measure="noise", values=plain[10].values ** 2)
    alone = replace(plain[10], texts_digest=None)
    kinds = {k: MatrixKind("mutual_knn", k) for k in (3, 10)}
    sets: dict[str, dict[MatrixKind, AffinityMatrices]] = {
        "plain": {kinds[3]: plain[3], kinds[10]: plain[10], MatrixKind("noise", 10): noise},
        "parallel": {kinds[10]: parallel},
        "alone": {kinds[10]: alone},
    }
    evidence = {
        evidence_key("plain", kinds[10]): Evidence(
            left={one.model: one for one in models}, texts=texts
        ),
        evidence_key("parallel", kinds[10]): Evidence(
            left={one.model: one for one in models},
            right={one.model: one for one in others},
            texts=texts,
            right_texts=german,
        ),
    }
    descriptions = {
        "plain": described(texts, None, models),
        "parallel": described(texts, german, [*models, *others]),
        "alone": {"imported": [{"file": "alone.npz", "sha256": "abc"}]},
    }
    results = StudyResults(
        name="made & shown",
        sets={
            name: TextSetResults(name=name, matrices=matrices, description=descriptions[name])
            for name, matrices in sets.items()
        },
        manifest={"versions": {"isodepth": "0.1.0"}, "notes": ["a note"]},
    )
    assessed = tuple(
        assessed_set(name, kind, found, evidence.get(evidence_key(name, kind)))
        for name, matrices in sets.items()
        for kind, found in matrices.items()
    )
    return Made(results, StudyAssessment(name=results.name, sets=assessed, options=QUICK), evidence)
