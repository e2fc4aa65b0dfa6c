"""Which library multiplies matrices on the CPU, in float32?

torch leaves products to Intel's MKL, which gives other makers' processors no AVX-512: one core of an
AMD EPYC (Zen 5) does 90 billion operations a second in it, and 190 to 205 in oneDNN, which comes with
torch too. On such processors `float32_products` has linear layers computed by oneDNN, from the weights
as they lie, so that nothing is copied. Reading takes 1.8 times less time. Values change by rounding
only, as they do between processors. Elsewhere it does nothing.

It acts in the thread that entered it, on whatever calls `torch.nn.functional.linear` there,
`torch.addmm` (GPT-2) or `torch.matmul` with a matrix (Falcon); experts of a mixture multiply otherwise,
and gain nothing. The model is not touched. Which way is taken depends on the processor alone, not on a
trial: an interrupted run that goes on must round as before.
"""

import contextlib
import functools
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, no_type_check

import torch
from torch.overrides import TorchFunctionMode

MATMULS = (torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__)
LEAST_PRODUCTS = 1 << 22
"""Below, a layer takes less than a tenth of a millisecond anywhere, and oneDNN some milliseconds at its
first time, in which it makes a program for the shape."""


@contextlib.contextmanager
def float32_products() -> Iterator[None]:
    """Have the linear layers that this thread runs computed by the library that suits the processor."""
    if product_library() == "torch":
        yield
    else:
        with _OneDnnLinear():
            yield


@functools.cache
def product_library() -> str:
    """Return what computes linear layers in float32 on this CPU: "oneDNN", or "torch", as it likes."""
    is_wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
    has_onednn = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if is_wide and has_onednn and processor_maker() != "GenuineIntel":
        return "oneDNN"
    return "torch"


def linear_layers_by(provenance: Mapping[str, Any]) -> str:
    """Return what computes a model's linear layers: "oneDNN", or "torch" for whatever that takes.

    Layers that are written otherwise (experts of a mixture) are torch's in any case.
    """
    is_float32 = provenance.get("dtype") == "float32" and provenance.get("quantization") is None
    return product_library() if is_float32 and provenance.get("device") == "cpu" else "torch"


def processor_maker() -> str:
    """Return the name that an x86 processor gives of its maker; "" where it cannot be told."""
    listing = Path("/proc/cpuinfo")
    if not listing.exists():  # Windows ends its description with the maker's name
        return platform.processor().rpartition(", ")[2]
    lines = listing.read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("vendor_id")), "")


def onednn_linear(
    inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
) -> torch.Tensor:
    """Return ``inputs @ weight.T + bias``, float32 (..., units_out), by oneDNN."""
    # what torch's own compiler calls; the last three would apply a function to the result
    product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return product


class _OneDnnLinear(TorchFunctionMode):
    """Computes float32 linear layers on the CPU by oneDNN, as long as it is entered."""

    @no_type_check  # a run-time checker would look at every operation of torch, and find Any
    def __torch_function__(
        self, function: Any, types: Any, arguments: Any = (), named: Any = None
    ) -> Any:
        del types
        if function is torch.nn.functional.linear:
            return _linear(*arguments, **(named or {}))
        if function is torch.addmm and len(arguments) == 3 and not named:
            return _addmm(*arguments)
        if function in MATMULS and not named:
            return _matmul(*arguments)
        return function(*arguments, **(named or {}))


def _linear(
    input: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    if _suits(input, weight, bias):
        return onednn_linear(input, weight, bias)
    return torch.nn.functional.linear(input, weight, bias)


def _addmm(bias: torch.Tensor, input: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return ``bias + input @ weight``: a linear layer whose weight is kept the other way around."""
    # what is turned around is plain whatever it was
    if input.ndim == weight.ndim == 2 and _is_plain(weight) and _suits(input, weight.T, bias):
        return onednn_linear(input, weight.T, bias)
    return torch.addmm(bias, input, weight)


def _matmul(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return ``left @ right``: a linear layer where `right` is a matrix."""
    if right.ndim == 2 and _is_plain(right) and _suits(left, right.T, None):
        return onednn_linear(left, right.T, None)
    return torch.matmul(left, right)


def _suits(input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> bool:
    """Return whether a linear layer is one that oneDNN computes rightly, and sooner."""
    given = (input, weight) if bias is None else (input, weight, bias)
    is_large = input.ndim > 1 and weight.ndim == 2 and input.numel() * len(weight) >= LEAST_PRODUCTS
    # it reads a bias as if it lay in one piece
    is_usual = bias is None or (bias.shape == weight.shape[:1] and bias.is_contiguous())
    return is_large and is_usual and all(_is_plain(one) for one in given)


def _is_plain(values: torch.Tensor) -> bool:
    """Return whether a tensor holds float32 values in memory; subclasses have formats of their own."""
    return (
        type(values) in (torch.Tensor, torch.nn.Parameter)
        and values.dtype == torch.float32
        and values.device.type == "cpu"
        and values.layout == torch.strided
    )
