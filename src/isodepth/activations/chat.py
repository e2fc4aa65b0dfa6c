"""Texts as a user's turn in a conversation, the way an instruction-tuned model was trained to see them.

The model's own chat template wraps the text, and the generation prompt follows: the model is about to
answer. So the last token is the same for all texts, and what its activation holds of the text has been
read by attention alone.

Some templates write today's date into the system message. That would give other activations tomorrow,
so they are told a fixed date.
"""

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

from isodepth.errors import ModelError, first_line

FIXED_DATE = datetime.date(2025, 1, 1)


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
    refuse_no_template(bool(tokenizer.chat_template), name)
    turns = [[{"role": "user", "content": text}] for text in texts]
    try:
        rendered = tokenizer.apply_chat_template(
            turns,
            add_generation_prompt=True,
            tokenize=False,
            date_string=FIXED_DATE.strftime("%d %b %Y"),
            strftime_now=FIXED_DATE.strftime,
        )
    except Exception as error:
        # a template is a program of the model's makers; it may raise anything
        raise ModelError(
            f"{name}: its chat template cannot wrap the texts: {first_line(error)}"
        ) from error
    ids: list[list[int]] = tokenizer(
        rendered, add_special_tokens=False, padding=False, truncation=False
    )["input_ids"]
    return ids


def template_sha256(tokenizer: Any) -> str:
    """Return the sha256 of the template that a tokenizer wraps texts with."""
    return hashlib.sha256(tokenizer.get_chat_template().encode()).hexdigest()


def common_ending(ids: Sequence[Sequence[int]]) -> list[int]:
    """Return the tokens that all of the texts end in: what the template puts behind the text."""
    shortest = min(len(one) for one in ids)
    length = 0
    while length < shortest and len({one[-length - 1] for one in ids}) == 1:
        length += 1
    return list(ids[0][len(ids[0]) - length :])
