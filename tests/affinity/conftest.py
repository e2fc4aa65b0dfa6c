from collections.abc import Callable

import numpy as np
import pytest

from isodepth.neighbors import Neighbors


@pytest.fixture
def make_neighbors(rng: np.random.Generator) -> Callable[..., Neighbors]:
    """Make neighbors of a model whose layers agree with each other and with other models' above chance."""
    orders: dict[int, np.ndarray] = {}

    def make(
        model: str, n_layers: int, *, n_texts: int = 47, k: int = 7, digest: str | None = None
    ) -> Neighbors:
        order = orders.setdefault(n_texts, rng.random((n_texts, n_texts - 1)))
        keys = order + rng.normal(scale=0.2, size=(n_layers, n_texts, n_texts - 1))
        others = np.argsort(keys, axis=2)[:, :, :k]
        ids = (others + (others >= np.arange(n_texts)[:, np.newaxis])).astype(np.int32)
        return Neighbors(
            ids=ids,
            similarities=np.full(ids.shape, np.nan, dtype=np.float32),
            model=model,
            texts_digest=digest,
        )

    return make
