"""What attention and MLP of each architecture return can be captured, or the refusal says why not."""

from typing import Any

import numpy as np
import pytest
import torch

from conformance.expectations import CHANGED_ON_THE_WAY, NO_PART, READ, WITH_PARTS
from conformance.readings import differences, layers_by_isodepth, random_ids, read_alone, tiny
from isodepth.errors import ModelError
from isodepth.models.parts import block_parts

IDS = random_ids([13], seed=53)[0]
REFUSALS = [(part, name) for part, names in NO_PART.items() for name in names]


def test_the_table_names_architectures_that_are_read() -> None:
    assert {name for _, name in REFUSALS} <= set(READ)
    # where attention is refused, so is the MLP; some have no MLP besides
    assert NO_PART["attention"].keys() < NO_PART["mlp"].keys()


@pytest.mark.parametrize(("part", "name"), REFUSALS)
def test_what_cannot_be_captured_is_refused_with_the_reason(part: str, name: str) -> None:
    with pytest.raises(ModelError) as refused:
        block_parts(tiny(name).model, part)
    assert refused.value.message.startswith(f"{name}: ")
    assert NO_PART[part][name] in refused.value.message
    assert refused.value.hint == 'capture "block" works for every model.'


@pytest.mark.parametrize("name", WITH_PARTS)
def test_the_parts_are_what_blocks_add_to_what_they_are_given(name: str) -> None:
    parts = [part for part in ("attention", "mlp") if name not in NO_PART[part]]
    captured = [layers_by_isodepth(tiny(name).model, IDS, part) for part in parts]
    one = read_alone(tiny(name), IDS)
    added = one.layers[:, 0] - np.stack([given[0] for given in one.entered if given is not None])
    apart = differences(np.sum(captured, axis=0), added).max(axis=1)
    if name in CHANGED_ON_THE_WAY:
        assert apart.max() > 0.1
    else:
        # the sum loses the digits that a difference of large numbers loses: 1e-6 is seen
        assert apart.max() < 1e-5


@pytest.mark.parametrize("part", ["attention", "mlp"])
@pytest.mark.parametrize("name", [name for name in WITH_PARTS if name not in NO_PART["mlp"]])
def test_attention_mixes_tokens_and_an_mlp_does_not(name: str, part: str) -> None:
    """An MLP whose tokens come in another order gives the same in that order; attention does not."""
    module = block_parts(tiny(name).model, part)[0]
    outputs: list[torch.Tensor] = []

    def shuffled(part: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        if inputs:
            return (inputs[0].roll(1, dims=-2), *inputs[1:]), named
        return inputs, {**named, "hidden_states": named["hidden_states"].roll(1, dims=-2)}

    def note(part: torch.nn.Module, inputs: Any, output: Any) -> None:
        hidden = output if isinstance(output, torch.Tensor) else output[0]
        outputs.append(hidden.clone())  # Falcon's block adds to it in place

    keep = module.register_forward_hook(note)
    read_alone(tiny(name), IDS)
    shuffle = module.register_forward_pre_hook(shuffled, with_kwargs=True)
    read_alone(tiny(name), IDS)
    keep.remove()
    shuffle.remove()
    plain, other = (output.reshape(len(IDS), -1).numpy() for output in outputs)
    apart = differences(other, np.roll(plain, 1, axis=0))
    if part == "mlp":
        assert apart.max() < 1e-4
    else:
        assert apart.max() > 0.1
