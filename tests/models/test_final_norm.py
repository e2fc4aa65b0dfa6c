"""What stands between the last block and the model's output: named by running the model."""

from typing import Any

import pytest
import torch

import tiny_architectures
import tiny_models
from isodepth import Model, as_model
from isodepth.models.final_norm import final_norm


def tiny(name: str) -> Model:
    body = tiny_architectures.made(name)
    return as_model(body, tiny_models.tiny_tokenizer(), name=f"tiny-{name}", digest=name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama", "norm (LlamaRMSNorm)"),
        ("gpt2", "ln_f (LayerNorm)"),
        ("opt", "final_layer_norm (LayerNorm)"),
        ("opt-350m", "project_out (Linear)"),
        ("mamba", "norm_f (MambaRMSNorm)"),
        ("rwkv", "ln_out (LayerNorm)"),
        ("mllama", "norm (MllamaTextRMSNorm)"),  # text passes its last cross-attention block by
        ("bert", None),  # its pooler runs behind, on something else
        ("distilbert", None),
    ],
)
def test_the_module_behind_the_last_block_is_named_with_its_class(
    name: str, expected: str | None
) -> None:
    model = tiny(name)
    before = [len(module._forward_hooks) for module in model.body.modules()]
    assert final_norm(model) == expected
    assert [len(module._forward_hooks) for module in model.body.modules()] == before


class Body(torch.nn.Module):
    """Three blocks of 5 units, what is asked for behind them, and a pooler or a factor."""

    def __init__(self, *behind: torch.nn.Module, factor: float = 1.0) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(7, 5)
        self.before = torch.nn.LayerNorm(5)
        self.blocks = torch.nn.ModuleList([torch.nn.Linear(5, 5) for _ in range(3)])
        self.behind = torch.nn.ModuleList(behind)
        self.pooler = torch.nn.Linear(5, 5) if factor == 1 else None
        self.factor = factor

    def forward(self, input_ids: torch.Tensor, **settings: Any) -> Any:
        hidden = self.before(self.embedding(input_ids))
        for module in (*self.blocks, *self.behind):
            hidden = module(hidden)
        if self.pooler is not None:
            self.pooler(hidden[:, 0])
        return (self.factor * hidden,)


def described(body: Body) -> str | None:
    return final_norm(
        Model(
            name="tiny",
            digest="tiny",
            body=body,
            blocks=tuple(body.blocks),
            tokenizer=None,
            width=5,
            context_length=None,
        )
    )


def test_what_runs_behind_the_last_block_is_told_in_order_without_the_pooler() -> None:
    assert described(Body()) is None
    assert described(Body(torch.nn.LayerNorm(5))) == "behind.0 (LayerNorm)"
    found = described(Body(torch.nn.LayerNorm(5), torch.nn.Linear(5, 5)))
    assert found == "behind.0 (LayerNorm) then behind.1 (Linear)"


def test_a_change_outside_of_modules_is_told_too() -> None:
    assert described(Body(factor=1.5)) == "a change that no module makes"
