"""Texts as token ids: what exactly each model reads.

Special tokens that the tokenizer puts in front (a BOS) are kept: the model was trained with them.
Tokens that it appends (an EOS) are removed, because they would make the last token of all texts the
same. Texts longer than the limit lose their end; which ones is recorded.

As a user's turn (`isodepth.activations.chat`), a text stands inside the model's chat template, whose
tokens are all kept, also where a text is cut: then the end of the text goes, not that of the template.

Texts of a batch share one rectangle, so they are sorted by length, and a batch holds at most
`token_budget` tokens, padding included.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isodepth.activations.chat import FIXED_DATE, chat_ids, template_ending, template_sha256
from isodepth.errors import TextsError, listed
from isodepth.models.transformers_calls import quiet_transformers


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedTexts:
    """Distinct inputs as token ids: texts that differ, to this model, in what it reads.

    Parameters
    ----------
    ids : tuple of int64 arrays
        One a distinct input, in the order of first appearance.
    rows : tuple of int64 arrays
        For each distinct input, the rows of the text set that give it, ascending.
    limit : int or None
        After how many tokens texts were cut.
    truncated : tuple of int
        The rows (from 0) that were cut.
    prefix, suffix : tuple of str
        Special tokens that the tokenizer puts in front (kept) and appends (removed).
    chat : mapping or None
        The chat template that the texts stand in: its sha256, the tokens behind the text, the date that
        it was told. None where they are read as they are.
    """

    ids: tuple[np.ndarray, ...]
    rows: tuple[np.ndarray, ...]
    limit: int | None
    truncated: tuple[int, ...]
    prefix: tuple[str, ...]
    suffix: tuple[str, ...]
    chat: Mapping[str, Any] | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each distinct input, int64."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    @property
    def n_texts(self) -> int:
        """Rows of the text set."""
        return sum(len(rows) for rows in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return what was done to the texts, as JSON values; rows count from 1."""
        last = {int(ids[-1]) for ids in self.ids}
        return {
            "n_texts": self.n_texts,
            "n_distinct_inputs": len(self.ids),
            "n_tokens": int(self.lengths.sum()),
            "longest_text_tokens": int(self.lengths.max()),
            "max_tokens": self.limit,
            "n_truncated": len(self.truncated),
            "truncated_rows": [row + 1 for row in self.truncated],
            "special_tokens_in_front": list(self.prefix),
            "special_tokens_removed_from_end": list(self.suffix),
            "n_distinct_last_tokens": len(last),
            "chat_template": None if self.chat is None else dict(self.chat),
        }


def encode_texts(
    texts: Sequence[str], tokenizer: Any, *, limit: int | None, name: str, chat: bool = False
) -> EncodedTexts:
    """Return texts as token ids, each distinct input once.

    Parameters
    ----------
    texts : sequence of str
        The texts, in order.
    tokenizer : transformers tokenizer
        The model's.
    limit : int or None
        The most tokens that a text may have.
    name : str
        The model's name, for errors.
    chat : bool
        Wrap every text as a user's turn.

    Raises
    ------
    TextsError
        If a text has no tokens (its row is named), all texts give the same tokens, or the limit leaves
        no room for a text in the template.
    ModelError
        If `chat` is wanted and the model has no chat template.
    """
    distinct: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        distinct.setdefault(text, []).append(row)
    order = list(distinct)
    prefix: list[int] = []
    suffix: list[int] = []
    ending: list[int] = []
    wrapping: dict[str, Any] | None = None
    with quiet_transformers():  # it would advise on lengths that are cut right here
        plain = {"padding": False, "truncation": False}
        bare = tokenizer(order, add_special_tokens=False, **plain)["input_ids"]
        without = [text for one, text in zip(bare, order, strict=True) if not one]
        if without:
            empty = sorted(row + 1 for text in without for row in distinct[text])
            raise TextsError(
                f"{name}: its tokenizer makes no tokens of text {listed(empty)} (rows count from 1)",
                hint="remove these rows: a text without tokens has no last token.",
            )
        if chat:
            whole = chat_ids(order, tokenizer, name=name)
            ending = template_ending(tokenizer, name=name)
            wrapping = {
                "sha256": template_sha256(tokenizer),
                "tokens_behind_the_text": tokenizer.convert_ids_to_tokens(ending),
                "date": FIXED_DATE.isoformat(),
            }
        else:
            full = tokenizer(order, add_special_tokens=True, padding=False, truncation=False)[
                "input_ids"
            ]
            prefix, suffix = _special_tokens(full, bare)
            whole = [
                _without_suffix(one, prefix, text, suffix) for one, text in zip(full, bare, strict=True)
            ]
    if limit is not None and limit <= len(ending):
        raise TextsError(
            f"{name}: {limit:,} tokens leave no room for a text before the {len(ending):,} tokens that "
            "the chat template ends in",
            hint="use a larger --max-tokens.",
        )
    truncated: list[int] = []
    read: dict[bytes, list[int]] = {}
    for tokens, text in zip(whole, order, strict=True):
        if limit is not None and len(tokens) > limit:
            truncated.extend(distinct[text])
            tokens = [*tokens[: limit - len(ending)], *ending]
        # texts that differ only in what was cut are one to the model
        read.setdefault(np.array(tokens, dtype=np.int64).tobytes(), []).extend(distinct[text])
    if len(read) == 1 and len(texts) > 1:
        raise TextsError(
            f"{name}: all {len(texts):,} texts are the same to the model"
            + (f" after {limit:,} tokens" if truncated else ""),
            hint="neighbors of equal inputs mean nothing; use other texts or a larger --max-tokens.",
        )
    return EncodedTexts(
        ids=tuple(np.frombuffer(one, dtype=np.int64) for one in read),
        rows=tuple(np.array(sorted(where), dtype=np.int64) for where in read.values()),
        limit=limit,
        truncated=tuple(sorted(truncated)),
        prefix=tuple(tokenizer.convert_ids_to_tokens(prefix)),
        suffix=tuple(tokenizer.convert_ids_to_tokens(suffix)),
        chat=wrapping,
    )


def _special_tokens(full: list[list[int]], bare: list[list[int]]) -> tuple[list[int], list[int]]:
    """Return the ids that the tokenizer puts in front of texts, and those that it appends.

    Read off the first text whose own tokens stand at one place only among all its tokens; a text that
    spells out a special token may stand at several.
    """
    for one, text in zip(full, bare, strict=True):
        starts = [i for i in range(len(one) - len(text) + 1) if one[i : i + len(text)] == text]
        if len(starts) == 1:
            return one[: starts[0]], one[starts[0] + len(text) :]
    return [], []


def _without_suffix(ids: list[int], prefix: list[int], text: list[int], suffix: list[int]) -> list[int]:
    """Return the ids of a text without what was appended; untouched where they are put otherwise."""
    return prefix + text if ids == prefix + text + suffix else ids


def length_sorted_batches(lengths: np.ndarray, *, token_budget: int) -> list[np.ndarray]:
    """Return batches of indices, longest texts first, that fit the budget with their padding.

    A text longer than the budget is a batch of its own. Equal lengths keep their order, so the
    batches, and with them the values to the last bit, depend on the texts alone.

    Parameters
    ----------
    lengths : int64 array (texts,)
        Tokens of each text.
    token_budget : int
        Largest (texts in the batch) x (tokens of its longest text).
    """
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    start = 0
    while start < len(order):
        size = max(1, token_budget // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches
