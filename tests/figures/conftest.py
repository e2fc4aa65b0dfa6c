"""Three models that share a ridge, assessed with their neighbors and from their matrices alone."""

import gc

import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices, all_affinities
from isodepth.assessment import AssessmentOptions, TextSetAssessment, assess_text_set
from isodepth.neighbors import Neighbors
from isodepth.results import MatrixKind

N_TEXTS, K = 61, 5
LAYERS = {"_first $x_1$": 13, "second<&>": 7, "third-模型": 11}
QUICK = AssessmentOptions(n_permutations=39, n_resamples=101, seed=7)


def planted(name: str, n_layers: int, seed: int) -> Neighbors:
    """Return neighbors of a model whose layers have what lies at the same depth in common."""
    shared = np.random.default_rng(3).normal(size=(29, N_TEXTS, 4))
    middles, places = (np.arange(n_layers) + 0.5) / n_layers, (np.arange(29) + 0.5) / 29
    weights = np.exp(-(((middles[:, None] - places) / 0.1) ** 2))
    values = np.einsum("lp,ptu->ltu", weights, shared)
    values += np.random.default_rng(seed).normal(scale=0.5, size=values.shape)
    distances = np.linalg.norm(values[:, :, None] - values[:, None], axis=3)
    distances[:, np.arange(N_TEXTS), np.arange(N_TEXTS)] = np.inf
    ids = distances.argsort(axis=2)[:, :, : 2 * K].astype(np.int32)
    return Neighbors(ids=ids, similarities=np.zeros(ids.shape, np.float32), model=name)


@pytest.fixture(scope="session")
def planted_neighbors() -> list[Neighbors]:
    return [planted(name, n_layers, seed) for seed, (name, n_layers) in enumerate(LAYERS.items())]


@pytest.fixture(scope="session")
def planted_matrices(planted_neighbors: list[Neighbors]) -> AffinityMatrices:
    return all_affinities(planted_neighbors, k=K)


def assessed(
    matrices: AffinityMatrices, name: str, neighbors: list[Neighbors] | None
) -> TextSetAssessment:
    with pytest.MonkeyPatch.context() as patch:
        # Holm's correction by statsmodels collects garbage at each call: 0.3 s in a process of tests
        patch.setattr(gc, "collect", lambda *_: 0)
        kind = MatrixKind(measure="mutual_knn", k=K)
        return assess_text_set(name, kind, matrices, left=neighbors, options=QUICK)


@pytest.fixture(scope="session")
def from_texts(
    planted_matrices: AffinityMatrices, planted_neighbors: list[Neighbors]
) -> TextSetAssessment:
    return assessed(planted_matrices, "planted texts", planted_neighbors)


@pytest.fixture(scope="session")
def from_matrices(planted_matrices: AffinityMatrices) -> TextSetAssessment:
    return assessed(planted_matrices, "the same, alone", None)
