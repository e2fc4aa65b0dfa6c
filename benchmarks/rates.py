"""What the machine can do at this moment, to compare with what is reached."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import torch

from isodepth.activations.products import onednn_linear
from isodepth.models import Model


def matrix_rate(*, device: str = "cpu", dtype: torch.dtype = torch.float32, size: int = 1024) -> float:
    """Return the rate of torch's own matrix products, in operations per second: the median of ten."""
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    return 2 * size**3 / _median_seconds(lambda: left @ right, device)


@torch.inference_mode()
def onednn_rate(*, size: int = 1024) -> float:
    """Return the same of oneDNN's, in float32 on the CPU."""
    left, right = torch.randn(2, size, size)
    return 2 * size**3 / _median_seconds(lambda: onednn_linear(left, right, None), "cpu")


def memory_bandwidth(*, size_bytes: int = 1 << 28) -> float:
    """Return bytes per second, read and written together, of copying what no cache holds."""
    source = torch.zeros(size_bytes // 4)
    target = torch.empty_like(source)
    return 2 * size_bytes / _median_seconds(lambda: target.copy_(source), "cpu")


def _median_seconds(function: Callable[[], object], device: str) -> float:
    times = []
    for _ in range(12):
        finish(device)
        start = time.perf_counter()
        function()
        finish(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[2:])


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    if device.startswith("mps"):
        torch.mps.synchronize()


def block_parameters(model: Model) -> int:
    """Return how many weights a token passes in the blocks of a dense model."""
    return sum(p.numel() for block in model.blocks for p in block.parameters())


def block_operations(model: Model, lengths: np.ndarray) -> int:
    """Return the arithmetic that texts of so many tokens need in the blocks of a dense model.

    Two operations a weight and token; and for every head's unit, two for a token's score with each
    token that it sees, itself and all earlier ones, and two for their mean.
    """
    config = model.body.config.get_text_config()
    heads = config.num_attention_heads
    head_units = getattr(config, "head_dim", None) or config.hidden_size // heads
    n_seen = int((lengths * (lengths + 1) // 2).sum())
    weights = 2 * block_parameters(model) * int(lengths.sum())
    return weights + 4 * model.n_layers * heads * head_units * n_seen
