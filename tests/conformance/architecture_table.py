"""The page of what isodepth reads of each architecture, made from the tiny models of the suite.

``make architectures`` writes it to docs/architectures.md.
"""

from pathlib import Path

import numpy as np
import transformers

from conformance.expectations import REFUSED
from conformance.readings import differences, measured, random_ids, read_alone, tiny
from isodepth.errors import ModelError
from isodepth.models.parts import block_parts
from tiny_architectures import ARCHITECTURES, Architecture

PAGE = Path(__file__).parents[2] / "docs" / "architectures.md"
COMMAND = "make architectures"
COLUMNS = (
    "Architecture",
    "Body",
    "Kind",
    "Blocks",
    "After the last block",
    "First hidden state",
    "Last hidden state",
    "Batches",
    "Attention",
    "MLP",
    "Remarks",
)
TEXT = """\
# What is read of each architecture

isodepth finds the blocks of a model by running it, and hooks them. The table says what that gives for
{n_read} kinds of model. It is made by the tests from tiny models with random weights (transformers
{version}), one for each line: `{command}` makes it again, and a test compares this page with what the
models give now. The numbers of blocks and units are those of the tiny models, so they are left out.

- **Architecture**: the model type in transformers; behind it, "text" for the half of a model that
  reads text alone, or which of several variants. **Body**: the class that is run.
- **Blocks**: where their list is in the body.
- **After the last block**: the modules that the output passes before the body returns it.
- **First and last hidden state**: what the first and the last entry of `output_hidden_states` are. The
  entries between are the outputs of the blocks (where the first is the embedding, entry l is the
  output of block l), but for what the remarks say.
- **Batches**: "padded" where texts of different lengths share a batch and each token's activations are
  those of its text alone.
- **Attention, MLP**: whether `--capture attention` and `--capture mlp` work. Where they do not, what the
  part returns is not what the block adds, or the blocks are made of something else. "Attention" is
  whatever mixes tokens: a state space, a recurrence, a convolution.

The last hidden state matters for comparisons with the paper. Its published matrices hold, at the last
layer, the output of the final norm. isodepth reads the output of the last block, as the paper defines
it; `--capture final_norm` gives what was published. They differ wherever the table has a norm after the
last block.

"""


def page(version: str = transformers.__version__) -> str:
    """Return the page; `version` is that of the transformers that is said to have made it."""
    lines = [_row(COLUMNS), _row(["---"] * len(COLUMNS))]
    lines += [_row(_cells(one)) for one in ARCHITECTURES.values()]
    text = TEXT.format(n_read=len(ARCHITECTURES) - len(REFUSED), version=version, command=COMMAND)
    return text + "\n".join(lines) + "\n"


def _row(cells: list[str] | tuple[str, ...]) -> str:
    assert not any("|" in cell or "\n" in cell for cell in cells)
    return f"| {' | '.join(cells)} |"


def _cells(one: Architecture) -> list[str]:
    kind = ", ".join(kind.replace("-", " ") for kind in one.kinds)
    if one.name in REFUSED:
        remark = f"refused: its blocks pass {one.streams} hidden states on, not one"
        config = one.config_class.removesuffix("Config")
        return [one.name, f"{config}Model", kind, *["-"] * 7, remark]
    model = tiny(one.name).model
    contract, warned = measured(one.name)
    remarks = [one.remark] if one.remark else []
    if one.uncalled:
        blocks = ", ".join(str(block + 1) for block in one.uncalled)
        remarks.append(
            f"text passes by the cross-attention blocks (here {blocks}), which have no hidden state; "
            "isodepth gives each the output of the block before"
        )
    if any("output_hidden_states" in warning for warning in warned):
        remarks.append("hidden states differ from the blocks' outputs, and a warning says so")
    if not one.runs_in_bfloat16:
        remarks.append("not in bfloat16 on a CPU")
    return [
        one.name,
        model.provenance["architecture"],
        kind,
        f"`{model.provenance['blocks_at']}`",
        contract.final_norm or "nothing",
        *_hidden_states(one.name),
        contract.batching,
        *(_can_be_captured(one.name, part) for part in ("attention", "mlp")),
        "; ".join(remarks),
    ]


def _hidden_states(name: str) -> tuple[str, str]:
    """Return what the first and the last entry of ``hidden_states`` are."""
    seen = read_alone(tiny(name), random_ids([17])[0], states=True)
    firsts = {"embedding": seen.entered[0], "output of block 1": seen.left[0]}
    lasts = {"output of the last block": seen.running[-1], "output of the model": seen.final}
    first, last = (
        [words for words, value in meanings.items() if value is not None and _same(value, state)]
        for meanings, state in ((firsts, seen.states[0]), (lasts, seen.states[-1]))
    )
    if len(last) == 2:
        return first[0], "output of the last block"
    (ended,) = last
    after = measured(name)[0].final_norm
    if ended == "output of the model" and after is not None:
        ended = "after the final norm" if "Norm" in after else "after the last module"
    return first[0], ended


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(differences(one, other).max() < 1e-6)


def _can_be_captured(name: str, part: str) -> str:
    try:
        block_parts(tiny(name).model, part)
    except ModelError:
        return "no"
    return "yes"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
