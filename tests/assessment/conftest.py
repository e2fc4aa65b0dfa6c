"""Neighbors of models that share a ridge through the whole of depth, planted."""

from collections.abc import Callable

import numpy as np
import pytest

from isodepth.assessment import AssessmentOptions
from isodepth.neighbors import Neighbors

N_TEXTS, K = 61, 5
Planted = Callable[..., Neighbors]


@pytest.fixture(autouse=True)
def _quick_corrections(no_collections: None) -> None:
    """Let no test here collect garbage."""


@pytest.fixture(scope="session")
def quick() -> AssessmentOptions:
    """As little permuting and resampling as is allowed."""
    return AssessmentOptions(n_permutations=39, n_resamples=101, seed=7)


@pytest.fixture(scope="session")
def planted() -> Planted:
    """Return a function that makes a model's neighbors; models of one `content` share a ridge."""

    def make(
        name: str,
        n_layers: int,
        *,
        seed: int,
        content: int = 3,
        k: int = 2 * K,
        n_texts: int = N_TEXTS,
        texts_digest: str | None = "texts",
    ) -> Neighbors:
        shared = np.random.default_rng(content).normal(size=(29, n_texts, 4))
        middles = (np.arange(n_layers) + 0.5) / n_layers
        places = (np.arange(29) + 0.5) / 29
        weights = np.exp(-(((middles[:, None] - places) / 0.1) ** 2))
        values = np.einsum("lp,ptu->ltu", weights, shared)
        values += np.random.default_rng(seed).normal(scale=0.5, size=values.shape)
        distances = np.linalg.norm(values[:, :, None] - values[:, None], axis=3)
        distances[:, np.arange(n_texts), np.arange(n_texts)] = np.inf
        ids = distances.argsort(axis=2)[:, :, :k].astype(np.int32)
        return Neighbors(
            ids=ids,
            similarities=np.zeros(ids.shape, dtype=np.float32),
            model=name,
            texts_digest=texts_digest,
        )

    return make
