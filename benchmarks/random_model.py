"""A model of any size with random weights, and texts of realistic lengths for it. Needs no download.

Speed does not depend on what the weights are. The lengths are those of Wikipedia paragraphs in tokens:
log-normal, half of them below 100, two thirds within a factor of 1.6 of that.
"""

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from isodepth.models.in_memory import as_model
from isodepth.models.model import Model

N_WORDS = 8192
BILLION = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
"""As Llama 3.2 1B: 973 million weights in the blocks."""
TINY = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def random_model(
    sizes: dict[str, int], *, device: str, dtype: torch.dtype
) -> tuple[torch.nn.Module, object, Model]:
    """Return a model without head, its tokenizer, and the same as isodepth reads it."""
    config = transformers.LlamaConfig(vocab_size=N_WORDS, max_position_embeddings=2048, **sizes)
    torch.manual_seed(0)
    with torch.device(device):
        body = transformers.AutoModel.from_config(config, dtype=dtype).eval()
    tokenizer = words_tokenizer()
    model = as_model(body, tokenizer, name="random weights", digest=f"random {sizes} {dtype}")
    return body, tokenizer, model


def words_tokenizer() -> object:
    """Return a tokenizer whose tokens are the words w0, w1, ..."""
    words = {f"w{number}": number for number in range(N_WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="w0"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token="w0")


def random_texts(number: int) -> list[str]:
    """Return texts of random words, of realistic lengths."""
    rng = np.random.default_rng(0)
    lengths = np.clip(np.rint(100 * np.exp(0.47 * rng.standard_normal(number))), 8, 600).astype(int)
    return [" ".join(f"w{word}" for word in rng.integers(1, N_WORDS, length)) for length in lengths]
