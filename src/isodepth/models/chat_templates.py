"""Does a model come with a chat template? Answered from its files, before anything is loaded."""

import json

from isodepth.models.gguf import converted_folder
from isodepth.models.resolution import ModelSource


def has_chat_template(source: ModelSource) -> bool | None:
    """Return whether a model comes with a chat template; None where that shows only after fetching it.

    Looked up in the files of the model's folder, without loading a tokenizer.
    """
    folder = source.location
    if source.kind in ("catalogue", "gguf"):
        folder = converted_folder(source.digest.removeprefix("gguf:"))
    if folder is None or not folder.is_dir():
        return None
    files = [folder / "chat_template.jinja", *folder.glob("additional_chat_templates/*.jinja")]
    if any(file.is_file() for file in files):
        return True
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None  # loading the tokenizer will say what is wrong
    return bool(isinstance(settings, dict) and settings.get("chat_template"))
