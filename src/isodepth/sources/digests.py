"""What a folder of weights *is*, independent of its name: the sha256 of what is in it."""

import hashlib
from pathlib import Path

from isodepth.store.sums import file_digest

MODEL_FILES = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
"""The files of a model folder that decide what it computes; read in the order of their names."""


def folder_digest(folder: Path, *, with_code: bool = False) -> str:
    """Return one digest over the model files of a folder, by name and content.

    Covers weights (safetensors only), configuration and tokenizer, and Python files where `with_code`
    says so; other files, and the folder's own name, do not count.
    """
    patterns = (*MODEL_FILES, "*.py") if with_code else MODEL_FILES
    found = {file for pattern in patterns for file in folder.glob(pattern)}
    files = sorted(file for file in found if file.is_file())
    whole = hashlib.sha256()
    for file in files:
        whole.update(f"{file.name}\0{file_digest(file)}\n".encode())
    return whole.hexdigest()
