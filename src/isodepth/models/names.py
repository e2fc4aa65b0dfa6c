"""What a user may write for a model, taken apart.

=====================================================  ===============================================
``gemma-2-9b``                                         a model of the catalogue
``./folder``, ``model.gguf``                           a transformers folder, a GGUF file
``owner/name``, ``owner/name@revision``                a hub model, at a branch, tag or commit
``./adapter``                                          a PEFT adapter, on the base that it names
``MODEL(adapter=./adapter)``                           a PEFT adapter on any of them
``MODEL(dtype=bfloat16)``, ``(quantization=4bit)``     read in another number format
``MODEL(untrained=0)``                                 with weights drawn at random, by this seed
``MODEL(batch_tokens=512)``                            read in batches of so many tokens
``MODEL(revision=main, attention=eager)``              several options
=====================================================  ===============================================

What exists as a file or folder under the whole name is that file or folder.
"""

import re
from dataclasses import dataclass, field

from isodepth.errors import ParameterError
from isodepth.notation import is_option, split_arguments, written_options

NUMBERS = ("untrained", "batch_tokens")
MODEL_OPTIONS: dict[str, type] = {
    **dict.fromkeys(("adapter", "dtype", "quantization", "attention", "revision"), str),
    **dict.fromkeys(NUMBERS, int),
}
_AT_REVISION = re.compile(r"([^/@\s]+/[^/@\s]+)@(\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelName:
    """A model as written.

    Parameters
    ----------
    name : str
        What stands before options and revision.
    options : dict
        Keys of `MODEL_OPTIONS`, each with what was written.
    """

    name: str
    options: dict[str, str] = field(default_factory=dict)

    @property
    def loading(self) -> dict[str, str | int]:
        """Those of the options that `LoadingOptions` has, with values of their types."""
        return {
            key: int(value) if key in NUMBERS else value
            for key, value in self.options.items()
            if key not in ("adapter", "revision")
        }


def model_name(written: str) -> ModelName:
    """Return what a model's name says.

    Raises
    ------
    ParameterError
        If options are not written as they should be, or the revision is given twice.
    """
    name, inside = _parted(written)
    found = written_options(name, split_arguments(inside), MODEL_OPTIONS)
    options = {key: str(value) for key, value in found.items()}
    at = _AT_REVISION.fullmatch(name)
    if at is not None:
        name, revision = at.groups()
        if "revision" in options:
            raise ParameterError(f"{written}: the revision is given twice")
        options["revision"] = revision
    return ModelName(name=name, options=options)


def _parted(written: str) -> tuple[str, str]:
    """Return what stands before the options' parentheses, and what stands in them.

    A path may have parentheses of its own, so the options are what can be read as such.
    """
    text = written.strip()
    if not text.endswith(")") or "(" not in text:
        return written, ""
    places = [place for place, character in enumerate(text) if character == "("]
    for place in places:
        parts = split_arguments(text[place + 1 : -1])
        if parts and all(is_option(part) for part in parts):
            break
    else:
        place = places[0]
    return text[:place].rstrip(), text[place + 1 : -1]
