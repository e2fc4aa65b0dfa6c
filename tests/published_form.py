"""Files in exactly the form in which the paper's authors publish neighbor sets, for tests to read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def neighbor_lists(n_texts: int, n_layers: int, *, k: int | None = None, seed: int = 5) -> np.ndarray:
    """Return random lists (texts, layers, k) of other texts, each once; all others without `k`."""
    rng = np.random.default_rng(seed)
    order = rng.random((n_texts, n_layers, n_texts)).argsort(axis=2)
    others = order != np.arange(n_texts)[:, None, None]
    lists = order[others].reshape(n_texts, n_layers, n_texts - 1)
    return lists[:, :, :k].astype(np.int16)


def published_name(model: str, text_set: str, *, chat: bool = False) -> str:
    """Return what the authors' pipeline calls a reading."""
    return f"{model.replace('/', '__')}{'---chat' if chat else ''}---{text_set}"


def written_as_published(
    folder: Path,
    model: str,
    text_set: str,
    texts: Sequence[str],
    lists: np.ndarray,
    *,
    chat: bool = False,
    at_max_length: Sequence[bool] | None = None,
) -> Path:
    """Write (texts, layers, n - 1) lists with Hugging Face datasets, as the authors' pipeline does."""
    import datasets
    import torch

    datasets.disable_progress_bars()
    table = datasets.Dataset.from_dict(
        {
            "text": list(texts),
            "knn": torch.from_numpy(np.ascontiguousarray(lists)).to(torch.int16),
            "at_max_length": list(at_max_length or [False] * len(texts)),
        }
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{published_name(model, text_set, chat=chat)}.parquet"
    table.to_parquet(path)
    return path
