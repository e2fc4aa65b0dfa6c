"""What isodepth measures of each architecture is what is expected, and the page says what it is now.

One file, so that one process of tests measures it, once.
"""

import re

import pytest

from conformance.architecture_table import COLUMNS, COMMAND, PAGE, page
from conformance.expectations import (
    DECODERS,
    NARROWER,
    NO_FINAL_NORM,
    NO_PART,
    READ,
    REFUSED,
    RESCALED_EVERY,
    SHIFTED,
)
from conformance.readings import measured
from tiny_architectures import ARCHITECTURES

FLOAT32_LIMIT = 1e-4
"""As in test_blocks.py."""


def rows() -> dict[str, dict[str, str]]:
    """Return the lines of the page's table by architecture."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    heading, rule, *cells = ([cell.strip() for cell in line[1:-1].split("|")] for line in lines)
    assert tuple(heading) == COLUMNS
    assert set(rule) == {"---"}
    return {one[0]: dict(zip(COLUMNS, one, strict=True)) for one in cells}


def test_the_page_is_what_the_models_give() -> None:
    written = PAGE.read_text(encoding="utf-8")
    said = re.search(r"\(transformers\s+(\d\S*)\)", written)
    assert said is not None
    # what made the page may be another transformers, as long as it gives the same
    assert page(said.group(1)) == written, f"docs/architectures.md is out of date: {COMMAND} mends it"


def test_the_page_has_a_line_for_each_architecture() -> None:
    assert list(rows()) == list(ARCHITECTURES)
    assert all(len(row) == len(COLUMNS) for row in rows().values())


def test_the_page_agrees_with_what_is_expected() -> None:
    for name, row in rows().items():
        if name in REFUSED:
            assert row["Remarks"].startswith("refused: ")
            continue
        assert row["First hidden state"] == ("output of block 1" if name in SHIFTED else "embedding")
        assert (row["Attention"] == "no") == (name in NO_PART["attention"])
        assert (row["MLP"] == "no") == (name in NO_PART["mlp"])
        assert row["Batches"] == "padded"
        if name in NARROWER:
            assert row["Last hidden state"] == "after the last module"
        elif name in NO_FINAL_NORM:
            ends = row["After the last block"], row["Last hidden state"]
            assert ends == ("nothing", "output of the last block")
        else:
            assert re.search("norm", row["After the last block"], re.IGNORECASE)
            assert row["Last hidden state"] == "after the final norm"


@pytest.mark.parametrize("name", READ)
def test_the_contract_says_what_the_blocks_do(name: str) -> None:
    contract, warned = measured(name)
    assert contract.batching == "padded"
    assert contract.batched_against_single == contract.padded_against_single < FLOAT32_LIMIT
    assert contract.skipped_blocks == tuple(block + 1 for block in ARCHITECTURES[name].uncalled)
    assert contract.is_causal == (name in DECODERS)
    if name in DECODERS:
        assert contract.later_token_effect is not None
        assert contract.later_token_effect < FLOAT32_LIMIT
    else:
        assert contract.later_token_effect is None
    assert (contract.final_norm is None) == (name in NO_FINAL_NORM)
    assert ("which no norm follows" in contract.last_hidden_state) == (name in NO_FINAL_NORM)
    if name in RESCALED_EVERY:
        # a block twice as large as the entry; half as large where the next block receives it
        assert contract.hooks_against_hidden_states == pytest.approx(1)
        assert contract.blocks_chained == pytest.approx(0.5)
        assert [one.split(":")[0] for one in warned] == ["HiddenStatesWarning"] * 2
        assert "block outputs differ from output_hidden_states" in warned[0]
        assert "block 3, 5 receives something else than the block before returns" in warned[1]
    else:
        assert (contract.hooks_against_hidden_states, contract.blocks_chained) == (0, 0)
        assert warned == ()
