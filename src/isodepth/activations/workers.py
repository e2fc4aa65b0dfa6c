"""How many batches are read at once, and by which threads."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from isodepth.models.model import Model

MOST_WORKERS = 8


@contextlib.contextmanager
def worker_threads(n_workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give an executor whose threads share torch's threads evenly; restore torch's setting."""
    n_threads = torch.get_num_threads()
    share = max(1, n_threads // n_workers)
    executor = ThreadPoolExecutor(
        n_workers, thread_name_prefix="reader", initializer=torch.set_num_threads, initargs=(share,)
    )
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(n_threads)


def most_workers(model: Model) -> int:
    """Return how many batches may be read at once.

    One, where a pass changes the model (position embeddings that rescale themselves; weights that are
    brought in from memory or disk) and on accelerators, which one batch fills.
    """
    changes = model.rescales_above is not None or model.provenance.get("offloaded", False)
    if changes or model.provenance.get("device", "cpu") != "cpu":
        return 1
    return min(torch.get_num_threads(), MOST_WORKERS)
