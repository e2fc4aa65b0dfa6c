"""What the terminal shows at the end of a comparison."""

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from isodepth.comparison import Comparison


def megabytes(size_bytes: int) -> str:
    """Return a size as people read it: "93 MB", "212 kB" below one, "42 GB" from ten thousand."""
    if size_bytes >= 1e10:
        return f"{size_bytes / 1e9:,.0f} GB"
    return f"{size_bytes / 1e6:,.0f} MB" if size_bytes >= 1e6 else f"{size_bytes / 1e3:,.0f} kB"


def print_comparison(comparison: "Comparison", paths: list[Path]) -> None:
    """Print the heat map, what was found, what to mind, and where the files are."""
    from isodepth.cli.heatmap import heat_map

    matrix = comparison.affinity
    size = shutil.get_terminal_size((100, 40))
    lines = heat_map(
        matrix.values,
        left=matrix.left,
        right=matrix.right,
        color=sys.stdout.isatty() and not os.environ.get("NO_COLOR"),
        most_rows=40,
        most_columns=max(10, (size.columns - 8) // 2),
    )
    click.echo("\n".join(lines))
    click.echo()
    if comparison.decision is not None:
        click.echo(comparison.decision.sentence)
    test = comparison.test
    if test is not None:
        click.echo(
            f"The paper's test on against off: {test.method}, one-sided, p = {_p(test.p_value)} "
            f"({test.n_on} and {test.n_off} cells, which are not independent samples)."
        )
    summary = comparison.summary()
    best = summary["best_cell"]
    click.echo(
        f"Most similar: layer {best['left_layer']} of {matrix.left} and layer "
        f"{best['right_layer']} of {matrix.right}, {best['similarity']:.3f}."
    )
    texts = comparison.texts
    read = f"texts of {texts.left.name}"
    if comparison.is_parallel:
        read = f"parallel texts of {texts.left.name} and {texts.right.name}"
    options = comparison.left_options
    click.echo(
        f"{matrix.n_texts:,} {read}, k = {matrix.k}, mutual k-NN, cosine, capture {options.capture}, "
        f"pooling {options.pooling}."
    )
    for note in _cautions(comparison):
        click.echo(f"note: {note}")
    if comparison.from_store:
        click.echo(f"Found in the store: {', '.join(comparison.from_store)}.")
    click.echo("Wrote " + "\n      ".join(str(path) for path in paths))


def _p(value: float) -> str:
    return f"{value:.2g}" if value > 0 else "0 (below the smallest number that fits)"


def _cautions(comparison: "Comparison") -> list[str]:
    """Return what a reader should know of the texts: what they are, drops, copies, cuts, wrapping."""
    notes: list[str] = []
    sets = [comparison.texts.left, *([comparison.texts.right] if comparison.is_parallel else [])]
    told: set[str] = set()
    for texts in sets:
        standing = str(texts.provenance.get("standing", ""))
        if "stand-in" in standing and standing not in told:
            told.add(standing)
            notes.append(f"{texts.name}: {standing}.")
    notes += [f"{' and '.join(texts.name for texts in sets)}: {words}." for words in sets[0].left_out]
    plain = [comparison.left_options, comparison.right_options]
    at_the_end = all(options.pooling == "last" and not options.chat for options in plain)
    for texts in sets:
        blank = sum(text[-1].isspace() for text in texts.texts)
        if blank and at_the_end:
            notes.append(
                f"{blank:,} texts of {texts.name} end in white space, which may be their last token."
            )
        for made in texts.provenance.get("controls", []):
            if made.get("n_unchanged"):
                notes.append(
                    f"{made['n_unchanged']:,} texts of {texts.name} came out of {made['control']} "
                    "unchanged."
                )
        copies = texts.n_duplicates
        if copies:
            notes.append(
                f"{copies:,} texts of {texts.name} are exact copies of others, hence near neighbors."
            )
    for side, options, texts in (
        (comparison.left, comparison.left_options, comparison.texts.left),
        (comparison.right, comparison.right_options, comparison.texts.right),
    ):
        copies = texts.n_duplicates
        if options.chat:
            notes.append(
                f"{side.model} read every text as a user's turn in its chat template, up to the "
                "generation prompt."
            )
        encoding = side.provenance.get("encoding", {})
        if encoding.get("n_truncated"):
            notes.append(
                f"{side.model} cut {encoding['n_truncated']:,} texts after "
                f"{encoding['max_tokens']:,} tokens."
            )
        same = encoding.get("n_texts", 0) - encoding.get("n_distinct_inputs", 0) - copies
        if same > 0:
            notes.append(
                f"{same:,} different texts give {side.model} the same tokens as another; they count as "
                "near neighbors."
            )
        if encoding.get("special_tokens_at_end") and encoding["special_tokens_at_end_are"] == "removed":
            removed = " ".join(encoding["special_tokens_at_end"])
            notes.append(f"{side.model}: {removed}, which its tokenizer appends, was removed.")
        notes += _contract_notes(side.model, side.provenance.get("contract", {}))
    return list(dict.fromkeys(notes))


def _contract_notes(model: str, contract: Mapping[str, Any]) -> list[str]:
    """Return what the contract found that is not as usual; a run from the store tells it again."""
    notes = []
    if contract.get("skipped_blocks"):
        blocks = ", ".join(str(block) for block in contract["skipped_blocks"])
        notes.append(
            f"text does not pass through block {blocks} of {model}; each has the activations of the "
            "block before."
        )
    if contract.get("batching") == "single":
        notes.append(f"{model} was read one text at a time, because batching changes its activations.")
    if contract.get("batching") == "equal-length":
        notes.append(
            f"{model} was read in batches of equal length, because padding changes its activations."
        )
    if not contract.get("is_causal", True):
        notes.append(f"the tokens of {model} see later ones too: it is an encoder.")
    return notes
