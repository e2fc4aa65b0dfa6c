"""Texts as token ids: what exactly each model reads.

Special tokens that the tokenizer puts in front (a BOS) are kept: the model was trained with them.
Tokens that it appends (an EOS) are removed, because they would make the last token of all texts the
same; where they cannot be told from the text's own, the texts are refused. A model whose tokens see
later ones (an encoder) keeps what is appended, as it was trained with it. Texts longer than the limit
lose their end; which ones is recorded.

As a user's turn (`isodepth.activations.chat`), a text stands inside the model's chat template, whose
tokens are all kept, also where a text is cut: then the end of the text goes, not that of the template.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isodepth.activations.chat import (
    FIXED_DATE,
    chat_ids,
    refuse_no_template,
    template_frame,
    template_sha256,
)
from isodepth.errors import TextsError, listed
from isodepth.models.transformers_calls import quiet_transformers

CHUNK = 1024
"""Texts that are held as lists of Python integers at a time; those take ten times what arrays take."""


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
        Special tokens that the tokenizer puts in front (kept) and appends (removed, unless
        `keeps_suffix`).
    keeps_suffix : bool
        Whether what the tokenizer appends is read.
    n_in_front : int
        Tokens that tokenizer or chat template put in front of every text.
    last_token : str
        The token that ends most texts.
    last_token_share : float
        The share of texts that it ends, in (0, 1].
    special_ending : str or None
        The special token that all texts ended in before they were cut; None where they did not.
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
    keeps_suffix: bool = False
    n_in_front: int = 0
    last_token: str = ""
    last_token_share: float = 0.0
    special_ending: str | None = None
    chat: Mapping[str, Any] | None = None

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each distinct input, int64."""
        return np.array([len(ids) for ids in self.ids], dtype=np.int64)

    def n_left_out_of_mean(self, *, is_causal: bool) -> int:
        """Tokens in front that the mean leaves out: all, where they see nothing of the text."""
        return self.n_in_front if is_causal else 0

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
            "special_tokens_at_end": list(self.suffix),
            "special_tokens_at_end_are": "kept" if self.keeps_suffix else "removed",
            "n_tokens_in_front": self.n_in_front,
            "n_distinct_last_tokens": len(last),
            "most_frequent_last_token": self.last_token,
            "most_frequent_last_token_share": self.last_token_share,
            "chat_template": None if self.chat is None else dict(self.chat),
        }


def encode_texts(
    texts: Sequence[str],
    tokenizer: Any,
    *,
    limit: int | None,
    name: str,
    chat: bool = False,
    keeps_suffix: bool = False,
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
    keeps_suffix : bool
        Keep the special tokens that the tokenizer appends.

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
    n_in_front = 0
    wrapping: dict[str, Any] | None = None
    truncated: list[int] = []
    empty: list[int] = []
    read: dict[bytes, list[int]] = {}
    ends_before_cuts: set[int] = set()
    with quiet_transformers():  # it would advise on lengths that are cut right here
        if chat:
            refuse_no_template(bool(tokenizer.chat_template), name)
            n_in_front, ending = template_frame(tokenizer, name=name)
            wrapping = {
                "sha256": template_sha256(tokenizer),
                "tokens_behind_the_text": tokenizer.convert_ids_to_tokens(ending),
                "date": FIXED_DATE.isoformat(),
            }
        for start in range(0, len(order), CHUNK):
            chunk = order[start : start + CHUNK]
            bare = _token_ids(chunk, tokenizer, special=False)
            empty += [
                row for one, text in zip(bare, chunk, strict=True) if not one for row in distinct[text]
            ]
            if empty:
                continue  # all of them are to be named
            if chat:
                whole = chat_ids(chunk, tokenizer, name=name)
            else:
                whole = _token_ids(chunk, tokenizer, special=True)
                if start == 0:
                    prefix, suffix = _special_tokens(whole, bare)
                    n_in_front = len(prefix)
                    ending = suffix if keeps_suffix else []
                if not keeps_suffix:
                    whole = [
                        _without_suffix(one, prefix, text, suffix)
                        for one, text in zip(whole, bare, strict=True)
                    ]
            if limit is not None and limit <= len(ending):
                raise TextsError(
                    f"{name}: {limit:,} tokens leave no room for a text before the {len(ending):,} "
                    f"tokens that the {'chat template' if chat else 'tokenizer'} ends in",
                    hint="use a larger --max-tokens.",
                )
            for tokens, text in zip(whole, chunk, strict=True):
                ends_before_cuts.add(tokens[-1])
                if limit is not None and len(tokens) > limit:
                    truncated.extend(distinct[text])
                    tokens = [*tokens[: limit - len(ending)], *ending]
                # texts that differ only in what was cut are one to the model
                read.setdefault(np.array(tokens, dtype=np.int64).tobytes(), []).extend(distinct[text])
    if empty:
        which = listed([row + 1 for row in sorted(empty)])
        raise TextsError(
            f"{name}: its tokenizer makes no tokens of text {which} (rows count from 1)",
            hint="remove these rows: a text without tokens has no last token.",
        )
    if len(read) == 1 and len(texts) > 1:
        raise TextsError(
            f"{name}: all {len(texts):,} texts are the same to the model"
            + (f" after {limit:,} tokens" if truncated else ""),
            hint="neighbors of equal inputs mean nothing; use other texts or a larger --max-tokens.",
        )
    ids = tuple(np.frombuffer(one, dtype=np.int64) for one in read)
    ends = Counter[int]()
    for one, rows in zip(ids, read.values(), strict=True):
        ends[int(one[-1])] += len(rows)
    most_frequent, n_texts = ends.most_common(1)[0]
    return EncodedTexts(
        ids=ids,
        rows=tuple(np.array(sorted(where), dtype=np.int64) for where in read.values()),
        limit=limit,
        truncated=tuple(sorted(truncated)),
        prefix=tuple(tokenizer.convert_ids_to_tokens(prefix)),
        suffix=tuple(tokenizer.convert_ids_to_tokens(suffix)),
        keeps_suffix=keeps_suffix,
        n_in_front=n_in_front,
        last_token=str(tokenizer.convert_ids_to_tokens(most_frequent)),
        last_token_share=n_texts / len(texts),
        special_ending=_special_ending(ends_before_cuts, tokenizer),
        chat=wrapping,
    )


def _token_ids(texts: Sequence[str], tokenizer: Any, *, special: bool) -> list[list[int]]:
    """Return the ids of whole texts, with the tokenizer's special tokens or without."""
    ids: list[list[int]] = tokenizer(
        list(texts), add_special_tokens=special, padding=False, truncation=False
    )["input_ids"]
    return ids


def _special_ending(last: set[int], tokenizer: Any) -> str | None:
    """Return the special token that is the only one in a set of last tokens, or None."""
    if len(last) != 1 or not last <= set(tokenizer.all_special_ids):
        return None
    return str(tokenizer.convert_ids_to_tokens(next(iter(last))))


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


def refuse_places_without_text(
    encoded: EncodedTexts, pooling: str | int, *, capture: str, is_causal: bool, name: str
) -> None:
    """Raise if the token that a pooling takes is missing in a text, or has read nothing of any.

    A token of a causal model knows what stands before it, and an embedding only its token. Where that
    is the same for all texts, so are the activations.

    Parameters
    ----------
    encoded : EncodedTexts
        The texts.
    pooling, capture : str or int
        As in `ExtractionOptions`.
    is_causal : bool
        Whether tokens see only earlier ones.
    name : str
        The model's name, for errors.

    Raises
    ------
    TextsError
        Naming the rows (from 1) that are too short, or saying that all are the same, or that all texts
        end in a special token that could not be removed.
    """
    ending = encoded.special_ending
    if pooling == "last" and encoded.chat is None and encoded.n_texts > 1 and ending is not None:
        raise TextsError(
            f"{name}: its tokenizer ends all {encoded.n_texts:,} texts in {ending!r}, "
            "in a way that isodepth cannot take back, so their last tokens are the same",
            hint="use --pooling mean, a tokenizer that does not append it (add_eos_token=false in "
            "its tokenizer_config.json), or texts that do not spell it out.",
        )
    if isinstance(pooling, int):
        needed = pooling + 1 if pooling >= 0 else -pooling
        short = [
            int(row) + 1
            for ids, rows in zip(encoded.ids, encoded.rows, strict=True)
            if len(ids) < needed
            for row in rows
        ]
        if short:
            raise TextsError(
                f"{name}: pooling {pooling} needs texts of {needed:,} tokens; fewer has text "
                f"{listed(sorted(short))} (rows count from 1)",
                hint="leave them out with --min-chars, or use another pooling.",
            )
    if pooling == "mean" or not (is_causal or capture == "embedding"):
        return
    end = {"last": -1, "first": 0}.get(str(pooling), pooling)
    assert isinstance(end, int)
    places = [end % len(ids) for ids in encoded.ids]
    only = capture == "embedding"
    read = {
        ids[place if only else 0 : place + 1].tobytes()
        for ids, place in zip(encoded.ids, places, strict=True)
    }
    if len(read) == 1 and encoded.n_texts > 1:
        raise TextsError(
            f"{name}: at pooling {pooling!r} the model has read the same of all {encoded.n_texts:,} "
            f"texts, so their activations (capture {capture!r}) are equal",
            hint="use --pooling last or mean.",
        )
