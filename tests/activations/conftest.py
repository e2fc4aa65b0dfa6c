"""Models of one architecture each, held in memory."""

from collections.abc import Callable

import pytest
import torch

from isodepth import Model


@pytest.fixture
def tiny() -> Callable[..., Model]:
    """Return a function that makes a model of an architecture, named after it."""
    import tiny_architectures
    import tiny_models
    from isodepth import as_model

    def make(name: str, *, dtype: torch.dtype = torch.float32, eos: bool = False) -> Model:
        body = tiny_architectures.made(name, dtype=dtype)
        return as_model(
            body, tiny_models.tiny_tokenizer(eos=eos), name=f"tiny-{name}", digest=f"{name} {dtype}"
        )

    return make
