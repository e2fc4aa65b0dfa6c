"""Does a model come with a chat template? Answered from its files, before anything is loaded."""

import json

from isodepth.models.gguf import converted_folder
from isodepth.models.resolution import ModelSource

CHAT_TEMPLATES = ("chat_template.jinja", "chat_template.json", "additional_chat_templates")
"""What a transformers folder may hold instead of an entry in its tokenizer's settings."""


def has_chat_template(source: ModelSource) -> bool | None:
    """Return whether a model comes with a chat template; None where that shows only after fetching it.

    Looked up in the files of the model's folder, without loading a tokenizer.
    """
    folder = source.location
    if source.kind in ("catalogue", "gguf"):
        folder = converted_folder(source.digest.removeprefix("gguf:"))
    if folder is None or not folder.is_dir():
        return None
    if any((folder / name).exists() for name in CHAT_TEMPLATES):
        return True
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # loading the tokenizer will say what is wrong
    return bool(isinstance(settings, dict) and settings.get("chat_template"))
