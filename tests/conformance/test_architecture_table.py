"""The page of architectures says what the models give now."""

import re

from conformance.architecture_table import COLUMNS, COMMAND, PAGE, page
from conformance.expectations import NARROWER, NO_FINAL_NORM, NO_PART, REFUSED, SHIFTED
from tiny_architectures import ARCHITECTURES


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
