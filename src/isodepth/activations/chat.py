"""Texts as a user's turn in a conversation, the way an instruction-tuned model was trained to see them.

The model's own chat template wraps the text, and the generation prompt follows: the model is about to
answer. So the last token is the same for all texts, and what its activation holds of the text has been
read by attention alone.

Some templates write today's date into the system message. That would give other activations tomorrow,
so they are told a fixed date.
"""

import datetime
import hashlib
import itertools
import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from isodepth.errors import ModelError, first_line

FIXED_DATE = datetime.date(2025, 1, 1)
_DATE_FORMAT = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1\s*\)""")


def refuse_no_template(has_template: bool, name: str) -> None:
    """Raise `ModelError`, naming the model, where it has no chat template."""
    if not has_template:
        raise ModelError(
            f"{name} has no chat template, so its texts cannot be wrapped as a user's turn",
            hint="leave --chat out, or use --chat-left or --chat-right for the model that has one.",
        )


def chat_ids(texts: Sequence[str], tokenizer: Any, *, name: str) -> list[list[int]]:
    """Return the token ids of each text as a user's turn with the generation prompt.

    Parameters
    ----------
    texts : sequence of str
        The texts.
    tokenizer : transformers tokenizer
        The model's.
    name : str
        The model's name, for errors.

    Raises
    ------
    ModelError
        If the model has no chat template, or the template refuses the text.
    """
    rendered = _rendered(texts, tokenizer, name)
    ids: list[list[int]] = tokenizer(
        rendered, add_special_tokens=False, padding=False, truncation=False
    )["input_ids"]
    return ids


def _rendered(texts: Sequence[str], tokenizer: Any, name: str) -> list[str]:
    refuse_no_template(bool(tokenizer.chat_template), name)
    turns = [[{"role": "user", "content": text}] for text in texts]
    try:
        rendered: list[str] = tokenizer.apply_chat_template(
            turns,
            chat_template=_told_the_date(tokenizer.get_chat_template()),
            add_generation_prompt=True,
            tokenize=False,
            date_string=FIXED_DATE.strftime("%d %b %Y"),
        )
    except Exception as error:
        # a template is a program of the model's makers; it may raise anything
        raise ModelError(
            f"{name}: its chat template cannot wrap the texts: {first_line(error)}"
        ) from error
    return rendered


def _told_the_date(template: str) -> str:
    """Return a template whose `strftime_now` gives the fixed date.

    Transformers offers no way to set it, so a macro of that name is put in front, which knows the
    formats that the template asks for.
    """
    if "strftime_now" not in template:
        return template
    formats = {match.group(2) for match in _DATE_FORMAT.finditer(template)}
    known = json.dumps({format_: FIXED_DATE.strftime(format_) for format_ in sorted(formats)})
    unknown = "raise_exception('it asks for a date in a format that is made as it runs')"
    return (
        "{%- macro strftime_now(format) -%}{%- set dates = " + known + " -%}"
        "{{- dates[format] if format in dates else " + unknown + " -}}{%- endmacro %}" + template
    )


def template_sha256(tokenizer: Any) -> str:
    """Return the sha256 of the template that a tokenizer wraps texts with."""
    return hashlib.sha256(tokenizer.get_chat_template().encode()).hexdigest()


def template_frame(tokenizer: Any, *, name: str) -> tuple[int, list[int]]:
    """Return how many tokens the template puts in front of every text, and the ids behind it.

    Found by wrapping two texts that differ in all of their characters: what the results begin and end
    in alike is the template's.
    """
    one, other = _rendered(["a", "7"], tokenizer, name)
    encoded = tokenizer(one, add_special_tokens=False, return_offsets_mapping=tokenizer.is_fast)
    ids: list[int] = encoded["input_ids"]
    if not tokenizer.is_fast:
        ids_of_other = tokenizer(other, add_special_tokens=False)["input_ids"]
        n_behind = _n_alike(reversed(ids), reversed(ids_of_other))
        return _n_alike(ids, ids_of_other), ids[len(ids) - n_behind :]
    begin, end = _n_alike(one, other), len(one) - _n_alike(reversed(one), reversed(other))
    places = encoded["offset_mapping"]
    behind = [token for token, (start, _) in zip(ids, places, strict=True) if start >= end]
    return sum(stop <= begin for _, stop in places), behind


def _n_alike(one: Iterable[object], other: Iterable[object]) -> int:
    """Return how many items two sequences begin with alike."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
