"""Tiny random decoders, tokenizers, GGUF files and texts, made in the test that needs them.

Sizes are distinct primes where the configurations allow it (a head has an even number of units).
"""

import contextlib
import hashlib
import json
import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers.utils import logging as transformers_logging

from isodepth.sources import WheelPin, read_member
from isodepth.texts.catalogue import CatalogueTexts, OfflineTexts

SPECIAL = ("<unk>", "<s>", "</s>")
N_WORDS = 94
VOCABULARY = [*SPECIAL, *(f"w{number}" for number in range(N_WORDS))]
N_TOKENS = len(VOCABULARY)  # 97
BOS, EOS = 1, 2

DATE_WORDS = ("2025-01-01", "01", "Jan", "2025")
CHAT_WORDS = ("system", "helpful", "user", "assistant", "<end>", "a", "7", *DATE_WORDS)
CHAT_VOCABULARY = [*VOCABULARY[: -len(CHAT_WORDS)], *CHAT_WORDS]  # as many as without
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% if messages[0].role != 'system' %}system helpful <end>{% endif %}"
    "{% for message in messages %}{{ message.role }} {{ message.content | trim }}<end>{% endfor %}"
    "{% if add_generation_prompt %}\nassistant\n{% endif %}"
)
CHAT_FRONT = ["<s>", "system", "helpful", "<end>", "user"]
CHAT_ENDING = ["<end>", "assistant"]


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep the advice of transformers on tiny configurations out of the terminal."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(level)
        transformers_logging.enable_progress_bar()


def tiny_tokenizer(
    *,
    bos: bool = True,
    eos: bool = False,
    unknown: bool = True,
    tokens: Sequence[str] = tuple(VOCABULARY),
) -> transformers.PreTrainedTokenizerFast:
    """Return a tokenizer of one token a word, with BOS in front and EOS appended where asked for.

    Without an unknown token, words outside the vocabulary make no tokens at all.
    """
    vocabulary = {word: number for number, word in enumerate(tokens)}
    unk = {"unk_token": "<unk>"} if unknown else {}
    backend = Tokenizer(
        models.WordLevel(vocabulary, **unk)
        if unknown
        else models.BPE(vocabulary, [], ignore_merges=True)  # WordLevel insists on an unknown token
    )
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    front, end = "<s> " if bos else "", " </s>" if eos else ""
    if bos or eos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{front}$A{end}", special_tokens=[("<s>", BOS), ("</s>", EOS)]
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="</s>", **unk
    )


def chat_tokenizer(
    template: str = CHAT_TEMPLATE, *, bos: bool = True, eos: bool = False
) -> transformers.PreTrainedTokenizerFast:
    """Return a tiny tokenizer with a chat template that writes the BOS itself and trims the text."""
    tokenizer = tiny_tokenizer(bos=bos, eos=eos, tokens=CHAT_VOCABULARY)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<end>"]})
    assert len(tokenizer) == N_TOKENS
    tokenizer.chat_template = template
    return tokenizer


def llama(**changes: Any) -> Any:
    """Return a Llama with 5 blocks of 26 units that reads at most 211 tokens."""
    settings = {
        "vocab_size": N_TOKENS,
        "hidden_size": 26,
        "intermediate_size": 31,
        "num_hidden_layers": 5,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 6,
        "max_position_embeddings": 211,
        "initializer_range": 0.3,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": None,
        "tie_word_embeddings": False,
    }
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**{**settings, **changes}))


def gemma(**changes: Any) -> Any:
    """Return a Gemma 3 with 7 blocks of 22 units, six of which see 5 tokens back at most."""
    settings = {
        "vocab_size": N_TOKENS,
        "hidden_size": 22,
        "intermediate_size": 37,
        "num_hidden_layers": 7,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 4,
        "max_position_embeddings": 307,
        "sliding_window": 5,
        "initializer_range": 0.3,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": None,
    }
    return transformers.Gemma3ForCausalLM(transformers.Gemma3TextConfig(**{**settings, **changes}))


def gpt2(**changes: Any) -> Any:
    """Return a GPT-2 with 3 blocks of 34 units and 101 learned positions."""
    settings = {
        "vocab_size": N_TOKENS,
        "n_embd": 34,
        "n_layer": 3,
        "n_head": 2,
        "n_positions": 101,
        "initializer_range": 0.3,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
    }
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**{**settings, **changes}))


def mamba(**changes: Any) -> Any:
    """Return a Mamba, which has no attention, with 3 blocks of 19 units and no limit of length."""
    settings = {
        "vocab_size": N_TOKENS,
        "hidden_size": 19,
        "state_size": 3,
        "num_hidden_layers": 3,
        "conv_kernel": 3,
        "time_step_rank": 2,
        "initializer_range": 0.3,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "pad_token_id": None,
    }
    return transformers.MambaForCausalLM(transformers.MambaConfig(**{**settings, **changes}))


def bert(**changes: Any) -> Any:
    """Return a BERT, whose tokens see later ones: it must be refused."""
    settings = {
        "vocab_size": N_TOKENS,
        "hidden_size": 26,
        "num_attention_heads": 2,
        "intermediate_size": 31,
        "num_hidden_layers": 3,
        "max_position_embeddings": 101,
        "initializer_range": 0.3,
    }
    return transformers.BertModel(transformers.BertConfig(**{**settings, **changes}))


def albert() -> Any:
    """Return an ALBERT, one block used three times: no list of three blocks is to be found."""
    config = transformers.AlbertConfig(
        vocab_size=N_TOKENS,
        embedding_size=13,
        hidden_size=26,
        num_attention_heads=2,
        intermediate_size=31,
        num_hidden_layers=3,
        max_position_embeddings=101,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return transformers.AlbertModel(config)


def resnet() -> Any:
    """Return an image classifier's body: its configuration knows no hidden layers."""
    return transformers.ResNetModel(
        transformers.ResNetConfig(
            embedding_size=7, hidden_sizes=[7, 11], depths=[1, 1], layer_type="basic"
        )
    )


def t5() -> Any:
    """Return an encoder-decoder, whose body wants decoder inputs besides."""
    config = transformers.T5Config(
        vocab_size=N_TOKENS, d_model=26, d_kv=5, d_ff=31, num_layers=3, num_heads=2
    )
    return transformers.T5Model(config)


def saved(
    folder: Path,
    make: Callable[..., Any] = llama,
    *,
    seed: int = 7,
    tokenizer: Any = None,
    **changes: Any,
) -> Path:
    """Return the folder after saving a model of random weights and its tokenizer there.

    Biases and norms are randomized as well, so that a check cannot pass because they do nothing.
    """
    with quietly():
        torch.manual_seed(seed)
        model = make(**changes)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("bias") or "norm" in name or ".ln_" in name:
                    parameter.add_(0.2 * torch.randn_like(parameter))
        model.save_pretrained(folder)
        (tokenizer or tiny_tokenizer()).save_pretrained(folder)
    return folder


def words(rng: np.random.Generator, length: int) -> str:
    """Return a text of so many words of the vocabulary; the tokenizer makes one token of each."""
    return " ".join(VOCABULARY[token] for token in rng.integers(len(SPECIAL), N_TOKENS, length))


def texts_of(lengths: Sequence[int], *, seed: int = 3) -> list[str]:
    """Return texts of these numbers of words."""
    rng = np.random.default_rng(seed)
    return [words(rng, int(length)) for length in lengths]


def chat_ids(tokenizer: Any, text: str) -> list[int]:
    """Return a text's ids as a user's turn, as transformers itself gives them."""
    turns = [{"role": "user", "content": text}]
    ids: list[int] = tokenizer.apply_chat_template(
        turns, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return ids


def slow_hidden_states(folder: Path, texts: Sequence[str], *, chat: bool = False) -> list[np.ndarray]:
    """Return (layers, tokens, units) of each text the obvious way: alone, through the whole model.

    The last layer is after the final norm, as ``output_hidden_states`` gives it.
    """
    with quietly():
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        states = []
        for text in texts:
            ids = torch.tensor([chat_ids(tokenizer, text) if chat else tokenizer(text)["input_ids"]])
            with torch.inference_mode():
                output = model(input_ids=ids, output_hidden_states=True, use_cache=False)
            states.append(torch.stack(output.hidden_states[1:]).squeeze(1).numpy())
    return states


def slow_last_block_outputs(
    body: torch.nn.Module, block: torch.nn.Module, ids: list[int]
) -> np.ndarray:
    """Return (tokens, units): what leaves a block, by a hook that knows nothing of isodepth."""
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: Any, output: Any) -> None:
        seen.append((output if isinstance(output, torch.Tensor) else output[0]).clone())

    handle = block.register_forward_hook(keep)
    try:
        with torch.inference_mode():
            body(input_ids=torch.tensor([ids]))
    finally:
        handle.remove()
    (hidden,) = seen
    return hidden.squeeze(0).numpy()


def largest_relative_difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest ||found - expected|| / ||expected|| over the last axis."""
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    assert found.shape == expected.shape
    return float((np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)).max())


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edited_json(path: Path, **changes: Any) -> None:
    """Change entries of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def byte_symbols() -> list[str]:
    """Return the 256 printable characters that stand for bytes in a byte-level vocabulary."""
    return sorted(pre_tokenizers.ByteLevel.alphabet())


GGUF_TOKENS = [*SPECIAL, *byte_symbols(), "he", "Ġw"]
GGUF_MERGES = ["h e", "Ġ w"]
GGUF_LAYERS, GGUF_WIDTH, GGUF_HEADS, GGUF_CONTEXT = 3, 26, 2, 131


def gguf_tensors(seed: int = 23) -> dict[str, np.ndarray]:
    """Return the tensors of a tiny Llama by their names in GGUF files, float32."""
    rng = np.random.default_rng(seed)
    width, feed_forward, head = GGUF_WIDTH, 37, 6

    def random(*shape: int) -> np.ndarray:
        return rng.normal(0, 0.3, shape).astype(np.float32)

    tensors = {
        "token_embd.weight": random(len(GGUF_TOKENS), width),
        "output_norm.weight": 1 + random(width),
        "output.weight": random(len(GGUF_TOKENS), width),
    }
    for block in range(GGUF_LAYERS):
        tensors |= {
            f"blk.{block}.attn_norm.weight": 1 + random(width),
            f"blk.{block}.attn_q.weight": random(GGUF_HEADS * head, width),
            f"blk.{block}.attn_k.weight": random(head, width),
            f"blk.{block}.attn_v.weight": random(head, width),
            f"blk.{block}.attn_output.weight": random(width, GGUF_HEADS * head),
            f"blk.{block}.ffn_norm.weight": 1 + random(width),
            f"blk.{block}.ffn_gate.weight": random(feed_forward, width),
            f"blk.{block}.ffn_up.weight": random(feed_forward, width),
            f"blk.{block}.ffn_down.weight": random(width, feed_forward),
        }
    return tensors


def written_gguf(
    path: Path,
    *,
    seed: int = 23,
    architecture: str = "llama",
    without: str | None = None,
    chat_template: str | None = None,
) -> Path:
    """Write a tiny Llama with a byte-level tokenizer as a GGUF file; return its path.

    The tensor `without` is left out.
    """
    import gguf

    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(GGUF_LAYERS)
    writer.add_context_length(GGUF_CONTEXT)
    writer.add_embedding_length(GGUF_WIDTH)
    writer.add_feed_forward_length(37)
    writer.add_head_count(GGUF_HEADS)
    writer.add_head_count_kv(1)
    writer.add_rope_dimension_count(6)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(GGUF_TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(GGUF_TOKENS)
    writer.add_token_types([3, 3, 3, *[1] * (len(GGUF_TOKENS) - 3)])
    writer.add_token_merges(GGUF_MERGES)
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(0)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for name, values in gguf_tensors(seed).items():
        if name != without:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def gguf_rows_restored(permuted: np.ndarray, n_heads: int) -> np.ndarray:
    """Return query or key rows in the order of transformers; llama.cpp interleaves a head's halves."""
    n_rows, width = permuted.shape
    half = n_rows // n_heads // 2
    return permuted.reshape(n_heads, half, 2, width).swapaxes(1, 2).reshape(n_rows, width)


def written_wheel(
    folder: Path, package: str, version: str, members: dict[str, bytes]
) -> tuple[Path, str, int]:
    """Write a wheel of data members that pip can find there; return path, sha256 and size."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{package.replace('-', '_')}-{version}"
    information = {
        "METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n",
        "WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        for name, text in information.items():
            archive.writestr(f"{stem}.dist-info/{name}", text)
    return path, sha256(path), path.stat().st_size


@dataclass(frozen=True)
class TinySet:
    """A text set of the catalogue in a tiny wheel."""

    name: str
    wheel: Path
    pin: WheelPin
    entry: CatalogueTexts


def written_text_set(folder: Path, name: str, texts: Sequence[str], *, standing: str) -> TinySet:
    """Write texts into a wheel that pip can find in a folder; return the set that reads them."""
    package = f"isodepth-tests-{name}"
    member = f"{package.replace('-', '_')}/texts.json"
    data = json.dumps(list(texts)).encode()
    wheel, digest, size_bytes = written_wheel(folder, package, "0.0.1", {member: data})
    pin = WheelPin(package, "0.0.1", digest, size_bytes)

    def read(path: Path) -> list[str]:
        found: list[str] = json.loads(read_member(path, member, most_bytes=len(data)))
        return found

    entry = CatalogueTexts(
        title=f"Words of {name}",
        n_texts=len(texts),
        licence="none needed",
        author="Tests",
        standing=standing,
        cleaning="nothing is cleaned",
        texts=OfflineTexts(pin=pin, read=read),
    )
    return TinySet(name=name, wheel=wheel, pin=pin, entry=entry)


def adapted(
    base: Path,
    config: Any,
    *,
    seed: int = 31,
) -> Any:
    """Return a PEFT model around the causal language model of a folder, its adapter randomized.

    Every weight that the adapter would train is moved, so that none of them does nothing.
    """
    import peft

    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT's advice on tied weights and hub look-ups
        whole = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        torch.manual_seed(seed)  # PEFT draws weights, too
        model = peft.get_peft_model(whole, config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def saved_adapter(folder: Path, base: Path, config: Any, *, seed: int = 31) -> Path:
    """Return the folder after saving a random adapter on the model of another folder there."""
    model = adapted(base, config, seed=seed)
    with quietly(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder)
    return folder


def lora(**changes: Any) -> Any:
    """Return the configuration of a LoRA of rank 3 on queries and on the way out of the MLP."""
    import peft

    settings = {
        "r": 3,
        "lora_alpha": 7,
        "target_modules": ["q_proj", "down_proj"],
        "task_type": "CAUSAL_LM",
    }
    return peft.LoraConfig(**{**settings, **changes})
