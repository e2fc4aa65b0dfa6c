"""What the machine can do at this moment, to compare with what is reached."""

import statistics
import time
from collections.abc import Callable

import torch

from isodepth.activations.products import onednn_linear


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


def block_parameters(model: object) -> int:
    """Return how many weights a token passes in the blocks of a dense model."""
    return sum(p.numel() for block in model.blocks for p in block.parameters())
