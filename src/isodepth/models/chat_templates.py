"""Does a model come with a chat template? Answered from its files, before anything is loaded."""

import json

from isodepth.models.gguf import converted_folder
from isodepth.models.resolution import ModelSource


def has_chat_template(source: ModelSource) -> bool | None:
    """Return whether a model comes with a chat template; None where that shows only after fetching it.

    Looked up in the files of the model's folder (of the adapter's, where it brings a tokenizer),
    without loading a tokenizer.
    """
    if source.model is not None:
        return bool(source.model.tokenizer.chat_template)
    folder = source.location
    if source.kind == "gguf":
        folder = converted_folder(source.weights_digest.removeprefix("gguf:"))
    if source.adapter is not None and source.adapter.location is not None:
        with_tokenizer = source.adapter.location / "tokenizer_config.json"
        folder = source.adapter.location if with_tokenizer.is_file() else folder
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
