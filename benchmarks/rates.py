"""What the machine can do at this moment, to compare with what is reached."""

import statistics
import time

import torch


def matrix_rate(*, device: str = "cpu", dtype: torch.dtype = torch.float32, size: int = 1024) -> float:
    """Return the rate of matrix products of this size, in operations per second: the median of ten."""
    left, right = torch.randn(2, size, size, device=device, dtype=dtype)
    times = []
    for _ in range(12):
        finish(device)
        start = time.perf_counter()
        left @ right
        finish(device)
        times.append(time.perf_counter() - start)
    return 2 * size**3 / statistics.median(times[2:])


def finish(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    if device.startswith("mps"):
        torch.mps.synchronize()


def block_parameters(model: object) -> int:
    """Return how many weights a token passes in the blocks of a dense model."""
    return sum(p.numel() for block in model.blocks for p in block.parameters())
