"""From a name to a `Model`: the body of a language model, its blocks, its tokenizer.

The language-model head is not run: activations do not need it, and for small models with large
vocabularies it is most of the arithmetic. Of a model that sees or hears, only the part that reads text
is kept.

Memory: the weights of the body, at 4 bytes a parameter in float32 and 2 in bfloat16; while loading,
those of the other parts too. An untrained copy is drawn in float32 first, whatever its number format.
"""

import contextlib
import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers

from isodepth.errors import ModelError, ParameterError, first_line, require
from isodepth.models.adapters import with_adapter
from isodepth.models.bodies import model_around
from isodepth.models.gguf import gguf_folder
from isodepth.models.model import Model
from isodepth.models.options import LoadingOptions
from isodepth.models.resolution import ModelSource, resolve_model
from isodepth.models.transformers_calls import (
    made_headless,
    quiet_transformers,
    refuse_missing_weights,
)
from isodepth.models.untrained import untrained_model
from isodepth.progress import Progress, no_progress


def load_model(
    name_or_path: str | Path | ModelSource,
    *,
    revision: str | None = None,
    adapter: str | Path | None = None,
    dtype: str = "float32",
    quantization: str | None = None,
    attention: str | None = None,
    device: str | None = None,
    device_map: str | None = None,
    trust_remote_code: bool = False,
    untrained: int | None = None,
    batch_tokens: int | None = None,
    progress: Progress = no_progress,
) -> Model:
    """Return a model of the catalogue, of a local folder or GGUF file, or of the hub.

    Parameters
    ----------
    name_or_path : str, Path or ModelSource
        A catalogue name (``isodepth models`` lists them), a transformers folder with safetensors
        weights, a GGUF file, a PEFT adapter's folder, or a hub id "owner/name"; with options where they
        are written behind it: "owner/name@revision", "gemma-2b(dtype=bfloat16)". A ModelSource brings
        its own options.
    revision : str, optional
        Of a hub model: branch, tag or commit.
    adapter : str or Path, optional
        A PEFT adapter to put on it: a folder or a hub id.
    dtype, quantization, attention, device, device_map, trust_remote_code, untrained, batch_tokens
        See `LoadingOptions`.
    progress : Progress
        Told of downloads and of the conversion of a GGUF file, which is done once and kept.

    Raises
    ------
    UnknownNameError
        If nothing answers to the name.
    ParameterError
        If an option is unknown, or the device is not there.
    ModelError
        If it cannot be loaded or has no decoder blocks.
    MissingPackageError
        If an adapter or quantization needs a package that is not installed.
    DownloadError
        If bytes could not be fetched or are not the pinned ones.
    """
    options = LoadingOptions(
        dtype=dtype,
        quantization=quantization,
        attention=attention,
        device=device,
        device_map=device_map,
        trust_remote_code=trust_remote_code,
        untrained=untrained,
        batch_tokens=batch_tokens,
    )
    if isinstance(name_or_path, ModelSource):
        source = name_or_path
        if (revision, adapter, options) != (None, None, LoadingOptions()):
            raise ParameterError(
                f"{source.name} is a ModelSource, which brings its own options; got others besides",
                hint="give them to resolve_model.",
            )
    else:
        source = resolve_model(name_or_path, revision=revision, adapter=adapter, options=options)
    if source.model is not None:
        return source.model
    _refuse_missing_device(source.options)
    folder = _folder(source, progress)
    label = f"loading {source.name}"
    progress(label, 0, 1, "steps")
    with quiet_transformers(), _uncollected():
        whole = _loaded(folder, source)
        if source.adapter is not None and source.adapter.location is not None:
            whole = with_adapter(whole, source.adapter.location, name=source.name)
        model = model_around(
            whole,
            _tokenizer(folder, source),
            name=source.name,
            digest=source.digest,
            provenance={"source": source.kind, **_said(source.options)},
        )
    entry = source.entry
    if entry is not None and (model.n_layers, model.width) != (entry.n_layers, entry.width):
        raise ModelError(
            f"{source.name}: expected {entry.n_layers} blocks of {entry.width:,} units, as the "
            f"catalogue has it; found {model.n_layers} of {model.width:,}",
            hint="name a revision at which it is what the catalogue describes.",
        )
    progress(label, 1, 1, "steps")
    return replace(model, batch_tokens=source.options.batch_tokens)


def load_tokenizer(name_or_path: str | Path | ModelSource, *, progress: Progress = no_progress) -> Any:
    """Return the tokenizer of a model, without loading its weights.

    Parameters and errors are those of `load_model`, without options.
    """
    source = name_or_path if isinstance(name_or_path, ModelSource) else resolve_model(name_or_path)
    if source.model is not None:
        return source.model.tokenizer
    return _tokenizer(_folder(source, progress), source)


def _folder(source: ModelSource, progress: Progress) -> Path:
    if source.kind == "gguf":
        return gguf_folder(source, progress=progress)
    assert source.location is not None
    return source.location


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Leave garbage uncollected meanwhile.

    A tokenizer's file of 600,000 entries and the modules of an architecture are objects that all stay:
    looking through them again and again for garbage is half of the time that Gemma's tokenizer takes.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _own_code(source: ModelSource) -> dict[str, bool]:
    return {"local_files_only": True, "trust_remote_code": source.options.trust_remote_code}


def _tokenizer(folder: Path, source: ModelSource) -> Any:
    """Return the tokenizer: that of the adapter, where it brings one."""
    adapter = source.adapter.location if source.adapter is not None else None
    if adapter is not None and (adapter / "tokenizer_config.json").is_file():
        folder = adapter
    with quiet_transformers(), _uncollected():
        try:
            return transformers.AutoTokenizer.from_pretrained(folder, **_own_code(source))
        except Exception as error:
            # transformers raises many types here; whatever it is, there is no usable tokenizer
            raise ModelError(
                f"{source.name}: the tokenizer in {folder} cannot be loaded: {first_line(error)}",
                hint="save it beside the weights with tokenizer.save_pretrained(folder).",
            ) from error


def _refuse_missing_device(options: LoadingOptions) -> None:
    kind, _, number = (options.device or "cpu").partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        raise ParameterError(
            f"device {options.device} is not there: torch {torch.__version__} finds "
            f"{torch.cuda.device_count()} CUDA devices",
            hint="use --device cpu, or install a torch that is built for your card.",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ParameterError(f"device mps is not there: torch {torch.__version__} finds none")


def _settings(options: LoadingOptions) -> dict[str, Any]:
    """Return the options in the words of transformers."""
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    settings: dict[str, Any] = {"dtype": getattr(torch, options.dtype)}
    if options.device_map is not None:
        settings["device_map"] = options.device_map
    elif device != "cpu":
        settings["device_map"] = {"": device}
    if options.attention is not None:
        settings["attn_implementation"] = options.attention
    if options.quantization is not None:
        require("bitsandbytes", extra="quantization")
        wanted = {"8bit": {"load_in_8bit": True}, "4bit": {"load_in_4bit": True}}
        settings["quantization_config"] = transformers.BitsAndBytesConfig(
            **wanted[options.quantization],
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=settings["dtype"],
        )
    return settings


def _loaded(folder: Path, source: ModelSource) -> Any:
    """Return the model in a folder, without its head."""
    settings = {
        "use_safetensors": True,
        "output_loading_info": True,
        **_settings(source.options),
        **_own_code(source),
    }
    seed = source.options.untrained
    try:
        loaded, account = (
            made_headless(lambda kind: kind.from_pretrained(folder, **settings))
            if seed is None
            else untrained_model(folder, seed=seed, settings=settings)
        )
    except Exception as error:
        # transformers raises many types here; whatever it is, the folder holds no usable model
        code = "trust_remote_code" in str(error)
        hint = "isodepth needs a model that transformers can load."
        if code:
            hint = (
                "the model comes with Python code of its makers; --trust-remote-code runs it. Do that "
                "only if you trust them."
            )
        elif source.options.attention is not None:
            hint = f"leave --attention {source.options.attention} out, or install what it needs."
        raise ModelError(
            f"{source.name}: transformers {transformers.__version__} cannot load the model in "
            f"{folder}: {first_line(error)}",
            hint=hint,
        ) from error
    # nothing reads what a pooler makes of the last layer, and many encoders are published without
    missing = [key for key in account["missing_keys"] if "pooler" not in key.split(".")]
    refuse_missing_weights(missing, name=source.name, where=folder)
    return loaded


def _said(options: LoadingOptions) -> dict[str, Any]:
    said = ("quantization", "trust_remote_code", "untrained")
    return {name: getattr(options, name) for name in said}
