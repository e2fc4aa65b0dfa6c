"""What a model computes at the end of every decoder block: extraction, batching, the contract."""

from typing import TYPE_CHECKING

from isodepth.activations.result import CAPTURES, POOLINGS, Activations, ExtractionOptions

if TYPE_CHECKING:
    from isodepth.activations.extraction import (
        Extraction,
        extract,
        extract_all,
        prepare_extraction,
    )

__all__ = [
    "CAPTURES",
    "POOLINGS",
    "Activations",
    "Extraction",
    "ExtractionOptions",
    "extract",
    "extract_all",
    "prepare_extraction",
]


def __getattr__(name: str) -> object:
    # extraction imports torch, which takes seconds; a rerun from the store does not need it
    if name in ("Extraction", "extract", "extract_all", "prepare_extraction"):
        from isodepth.activations import extraction

        return getattr(extraction, name)
    raise AttributeError(f"module 'isodepth.activations' has no attribute {name!r}")
