"""From a loaded transformers model to a `Model`: its body, its blocks, and what to mind in reading it.

The body is what turns token ids into the last hidden state: without the language-model head, and of a
model that sees or hears only the part that reads text.
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import transformers

from isodepth.errors import ModelError
from isodepth.models.blocks import FoundBlocks, find_blocks, sees_only_earlier
from isodepth.models.description import SAME_ENTRIES
from isodepth.models.model import Model

READS = "isodepth reads decoder language models, and encoders with --pooling mean."
EXACT_DTYPES = ("float32", "float64")
RESCALING = ("dynamic", "longrope")
"""Kinds of position embeddings that change with the longest text of a batch."""
MOST_PARAMETERS_FOR_ONE_THREAD = 10**9
"""Up to here one thread reads all weights within half a second."""
ENDLESS = 10**9
"""Tokenizers that know no limit state an astronomical one."""


def model_around(
    whole: Any, tokenizer: Any, *, name: str, digest: str, provenance: Mapping[str, Any]
) -> Model:
    """Return a loaded model with the blocks of its body."""
    config = whole.config
    if config.is_encoder_decoder:
        raise ModelError(f"{name} ({type(whole).__name__}) is an encoder-decoder model", hint=READS)
    with _few_threads(whole):
        body, found = _text_body(whole, name)
    text = body.config.get_text_config()
    dtype = str(body.dtype).removeprefix("torch.")
    quantization = provenance.get("quantization") or _quantization(config)
    is_exact = dtype in EXACT_DTYPES and quantization is None
    with _few_threads(whole):
        causal = sees_only_earlier(body, found, name=name, is_exact=is_exact)
    limit = _context_length(body, text)
    stated = [limit]
    if not causal:  # encoders are published with tokenizers that know how much they were trained on
        stated.append(getattr(tokenizer, "model_max_length", None))
    limits = [limit for limit in stated if isinstance(limit, int) and 0 < limit < ENDLESS]
    offloaded = any(parameter.is_meta for parameter in body.parameters())
    return Model(
        name=name,
        digest=digest,
        body=body,
        blocks=found.blocks,
        skipped_blocks=found.skipped,
        tokenizer=tokenizer,
        width=found.width,
        context_length=min(limits, default=None),
        is_causal=causal,
        rescales_above=_rescales_above(text),
        provenance={
            **provenance,
            "quantization": quantization,
            "architecture": type(body).__name__,
            "model_type": text.model_type,
            "blocks_at": found.path,
            "parameters": body.num_parameters(),
            "dtype": dtype,
            "is_exact": is_exact,
            "device": _devices(body),
            "offloaded": offloaded,
            "attention": _attention(body),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    )


class _OneThread:
    """Lets torch compute with one thread while anyone has entered it, in whatever thread.

    A thread that starts meanwhile takes what was set last, one. So all that are inside at once leave
    with what there was before the first of them came.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before = 1

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if self._n_inside == 0:
                self._before = torch.get_num_threads()
            self._n_inside += 1
            torch.set_num_threads(1)
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                torch.set_num_threads(self._before)


_one_thread = _OneThread()


def _few_threads(whole: Any) -> contextlib.AbstractContextManager[None]:
    """Compute with one thread meanwhile, where a model is small.

    Products of a few tokens are over before threads have met. Where other programs keep the cores busy,
    threads wait for each other in every one of them: a pass took 20 times as long with two as with one.
    """
    is_small = whole.num_parameters() <= MOST_PARAMETERS_FOR_ONE_THREAD
    return _one_thread() if is_small else contextlib.nullcontext()


def _text_body(whole: Any, name: str) -> tuple[Any, FoundBlocks]:
    """Return the part of a model that reads text, without its head, and its blocks.

    The narrowest that transformers names (``base_model``, ``get_decoder``) and that has the blocks.
    """
    candidates = [whole]
    for inner in _inner(whole):
        if any(inner is known for known in candidates):
            break
        candidates.append(inner)
    refusal: ModelError | None = None
    for body in reversed(candidates):
        config = body.config.get_text_config()
        n_layers = getattr(config, "num_hidden_layers", None)
        try:
            return body, find_blocks(
                body, n_layers=n_layers if isinstance(n_layers, int) else None, name=name
            )
        except ModelError as error:
            refusal = error
    assert refusal is not None
    raise refusal


def _inner(whole: Any) -> Iterator[Any]:
    """Yield a model without its head, then the part of that which reads text, and so on inwards."""
    model = whole
    while True:
        for find in ("base_model", "get_decoder"):
            inner = getattr(model, find, None)
            inner = inner() if find == "get_decoder" and inner is not None else inner
            if isinstance(inner, transformers.PreTrainedModel) and inner is not model:
                model = inner
                yield model
                break
        else:
            return


def _rescales_above(config: Any) -> int | None:
    """Return above how many tokens position embeddings depend on the longest text of a batch."""
    settings = json.dumps(
        [getattr(config, name, None) for name in ("rope_parameters", "rope_scaling")], default=str
    )
    if not any(f'"{kind}"' in settings for kind in RESCALING):
        return None
    stated = [
        getattr(config, "original_max_position_embeddings", None),
        *_values(json.loads(settings), "original_max_position_embeddings"),
        getattr(config, "max_position_embeddings", None),
    ]
    return min((int(limit) for limit in stated if isinstance(limit, int | float)), default=1)


def _context_length(body: Any, config: Any) -> int | None:
    """Return how many tokens a model's positions reach; None where its configuration states no limit.

    Where a table of learned positions keeps some for padding (RoBERTa), those before are not to be had.
    """
    stated = (getattr(config, name, None) for name in SAME_ENTRIES["context_length"])
    limit = next((int(one) for one in stated if isinstance(one, int)), None)
    kept = [
        module.padding_idx + 1
        for module in body.modules()
        if isinstance(module, torch.nn.Embedding)
        and module.num_embeddings == limit
        and module.padding_idx is not None
    ]
    return None if limit is None else limit - max(kept, default=0)


def _attention(body: Any) -> str | None:
    """Return the attention implementation, or None for a model in which nothing is called so."""
    names = (name.rsplit(".", 1)[-1].lower() for name, _ in body.named_modules())
    has_attention = any("attn" in name or "attention" in name for name in names)
    return getattr(body.config, "_attn_implementation", None) if has_attention else None


def _values(settings: Any, key: str) -> Iterator[Any]:
    """Yield what stands under a key anywhere in nested settings."""
    inside = settings.values() if isinstance(settings, dict) else settings
    if isinstance(settings, dict) and key in settings:
        yield settings[key]
    if isinstance(settings, (dict, list)):
        for one in inside:
            yield from _values(one, key)


def _quantization(config: Any) -> str | None:
    """Return how a model was quantized before it was saved, or None where it was not."""
    settings = getattr(config, "quantization_config", None)
    if settings is None:
        return None
    read = settings if isinstance(settings, dict) else settings.to_dict()
    bits = [f"{n}bit" for n in (8, 4) if read.get(f"load_in_{n}bit")]
    method = read.get("quant_method", "quantized")
    return " ".join([str(getattr(method, "value", method)), *bits])


def _devices(body: Any) -> str:
    """Return where the weights are: "cpu", "cuda:0, cuda:1"."""
    found = {str(parameter.device) for parameter in body.parameters() if not parameter.is_meta}
    return ", ".join(sorted(found)) or "offloaded"
