"""Finding the decoder blocks: one rule, on real architectures and on made-up ones."""

from typing import Any

import pytest
import torch

import tiny_models
from isodepth.errors import ModelError
from isodepth.models.blocks import decoder_blocks


def list_of(n_modules: int) -> torch.nn.ModuleList:
    return torch.nn.ModuleList([torch.nn.Identity() for _ in range(n_modules)])


@pytest.mark.parametrize(
    ("make", "path", "n_layers"),
    [
        (tiny_models.llama, "model.layers", 5),
        (tiny_models.gemma, "model.layers", 7),
        (tiny_models.gpt2, "transformer.h", 3),
        (tiny_models.mamba, "backbone.layers", 3),
    ],
)
def test_blocks_are_the_architectures_own_list_in_order(make: Any, path: str, n_layers: int) -> None:
    model = make()
    blocks = decoder_blocks(model, n_layers=n_layers, name="tiny")
    expected = list(model.get_submodule(path))
    assert len(blocks) == n_layers
    assert all(block is other for block, other in zip(blocks, expected, strict=True))


def test_of_several_fitting_lists_the_outermost_is_meant() -> None:
    body = torch.nn.Module()
    body.inner = torch.nn.Module()
    body.inner.experts = list_of(3)
    body.layers = list_of(3)
    assert decoder_blocks(body, n_layers=3, name="tiny") == list(body.layers)


def test_a_list_inside_every_block_is_not_taken_for_the_blocks() -> None:
    body = torch.nn.Module()
    body.layers = torch.nn.ModuleList([torch.nn.Module() for _ in range(3)])
    for block in body.layers:
        block.experts = list_of(3)
    assert decoder_blocks(body, n_layers=3, name="tiny") == list(body.layers)


def test_without_a_fitting_list_all_lists_are_named_with_their_lengths() -> None:
    body = torch.nn.Module()
    body.stages = list_of(2)
    body.heads = list_of(11)
    with pytest.raises(ModelError, match="expected a ModuleList of 7 modules") as caught:
        decoder_blocks(body, n_layers=7, name="tiny-net")
    assert "tiny-net (Module): no decoder blocks found" in caught.value.message
    assert "found stages (2), heads (11)" in caught.value.message
    assert caught.value.hint == "isodepth reads decoder language models."


def test_a_model_without_any_list_is_told_so() -> None:
    with pytest.raises(ModelError, match="found no ModuleList at all"):
        decoder_blocks(torch.nn.Linear(2, 3), n_layers=5, name="tiny-net")
