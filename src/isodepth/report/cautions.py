"""What should a reader know of texts and of how they were read, besides the numbers?

Memory: none to speak of.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isodepth.activations import ExtractionOptions
from isodepth.neighbors import Neighbors
from isodepth.texts import ParallelTexts, TextSet

Reading = tuple[Neighbors, ExtractionOptions]


def cautions(texts: ParallelTexts, readings: Sequence[Reading]) -> list[str]:
    """Return what to know of texts and readings: stand-ins, drops, copies, cuts, wrapping.

    Parameters
    ----------
    texts : ParallelTexts
        What was read: the same texts left and right, unless parallel ones were declared.
    readings : sequence of (Neighbors, ExtractionOptions)
        Who read it, and how: the left model, then the right one.
    """
    left, right = texts.left, texts.right
    sets = [left] if left.digest == right.digest else [left, right]
    notes = list(dict.fromkeys(_stand_ins(sets)))
    names = " and ".join(one.name for one in sets)
    notes += [f"{names}: {words}." for words in left.left_out]
    at_the_end = all(options.pooling == "last" and not options.chat for _, options in readings)
    for one in sets:
        notes += _texts_notes(one, at_the_end=at_the_end)
    for (neighbors, options), one in zip(readings, (left, right), strict=True):
        notes += _reading_notes(neighbors, options, n_copies=one.n_duplicates)
    return list(dict.fromkeys(notes))


def _stand_ins(sets: Sequence[TextSet]) -> Iterator[str]:
    told: set[str] = set()
    for texts in sets:
        standing = str(texts.provenance.get("standing", ""))
        if "stand-in" in standing and standing not in told:
            told.add(standing)
            yield f"{texts.name}: {standing}."


def _texts_notes(texts: TextSet, *, at_the_end: bool) -> Iterator[str]:
    """Yield what to know of texts, of which the last token may have been read."""
    blank = sum(text[-1].isspace() for text in texts.texts)
    if blank and at_the_end:
        yield f"{blank:,} texts of {texts.name} end in white space, which may be their last token."
    for made in texts.provenance.get("controls", []):
        if made.get("n_unchanged"):
            n_unchanged, control = made["n_unchanged"], made["control"]
            yield f"{n_unchanged:,} texts of {texts.name} came out of {control} unchanged."
    if texts.n_duplicates:
        copies = f"{texts.n_duplicates:,} texts of {texts.name}"
        yield f"{copies} are exact copies of others, hence near neighbors."


def _reading_notes(neighbors: Neighbors, options: ExtractionOptions, *, n_copies: int) -> Iterator[str]:
    """Yield what is not as usual in how a model read texts."""
    model = neighbors.model
    encoding: Mapping[str, Any] = neighbors.provenance.get("encoding", {})
    if options.chat:
        yield (
            f"{model} read every text as a user's turn in its chat template, up to the generation "
            "prompt."
        )
    if encoding.get("n_truncated"):
        n_cut, most = encoding["n_truncated"], encoding["max_tokens"]
        yield f"{model} cut {n_cut:,} texts after {most:,} tokens."
    n_same = encoding.get("n_texts", 0) - encoding.get("n_distinct_inputs", 0) - n_copies
    if n_same > 0:
        yield (
            f"{n_same:,} different texts give {model} the same tokens as another; they count as near "
            "neighbors."
        )
    if encoding.get("special_tokens_at_end") and encoding["special_tokens_at_end_are"] == "removed":
        removed = " ".join(encoding["special_tokens_at_end"])
        yield f"{model}: {removed}, which its tokenizer appends, was removed."
    yield from _contract_notes(model, neighbors.provenance.get("contract", {}))


def _contract_notes(model: str, contract: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the contract found that is not as usual; a run from the store tells it again."""
    if contract.get("skipped_blocks"):
        blocks = ", ".join(str(block) for block in contract["skipped_blocks"])
        yield (
            f"text does not pass through block {blocks} of {model}; each has the activations of the "
            "block before."
        )
    if contract.get("batching") == "single":
        yield f"{model} was read one text at a time, because batching changes its activations."
    if contract.get("batching") == "equal-length":
        yield (f"{model} was read in batches of equal length, because padding changes its activations.")
    if not contract.get("is_causal", True):
        yield f"the tokens of {model} see later ones too: it is an encoder."
