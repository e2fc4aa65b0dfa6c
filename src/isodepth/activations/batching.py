"""Which texts share a batch.

Texts of a batch share one rectangle, so they are sorted by length, and a batch holds at most
`token_budget` tokens, padding included. A model whose activations padding changes gets batches of texts
of one length; one that cannot even be batched so is given one text at a time.
"""

import numpy as np

BATCHINGS = {
    "padded": "texts of similar length share a batch, padded on the right",
    "equal-length": "texts share a batch only with others of the same length",
    "single": "one text at a time",
}


def length_sorted_batches(
    lengths: np.ndarray,
    *,
    token_budget: int,
    batching: str = "padded",
    rescales_above: int | None = None,
) -> list[np.ndarray]:
    """Return batches of indices, longest texts first, that fit the budget with their padding.

    A text longer than the budget is a batch of its own. Equal lengths keep their order, so the
    batches, and with them the values to the last bit, depend on the texts alone.

    Parameters
    ----------
    lengths : int64 array (texts,)
        Tokens of each text.
    token_budget : int
        Largest (texts in the batch) x (tokens of its longest text).
    batching : str
        A key of `BATCHINGS`.
    rescales_above : int, optional
        Texts of more tokens share a batch only with others of the same length: the model's position
        embeddings depend on the longest text of a batch above it.
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        longest = int(lengths[order[start]])
        size = 1 if batching == "single" else max(1, token_budget // longest)
        batch = order[start : start + size]
        if batching == "equal-length" or (rescales_above is not None and longest > rescales_above):
            batch = batch[lengths[batch] == longest]
        batches.append(batch)
        start += len(batch)
    return batches
