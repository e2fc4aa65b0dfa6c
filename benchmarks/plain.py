"""The plain way to get activations, which the benchmarks compare with.

One text at a time, the whole causal language model with its head, ``output_hidden_states=True``, the
last token of every entry. What a researcher would write first, and slow.
"""

from collections.abc import Sequence

import numpy as np
import torch
import transformers

from isodepth.models.gguf import gguf_folder
from isodepth.models.resolution import resolve_model


def plain_model(name: str) -> tuple[torch.nn.Module, object]:
    """Return the causal language model and tokenizer of a catalogue model."""
    folder = gguf_folder(resolve_model(name))
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def plain_activations(model: torch.nn.Module, tokenizer: object, texts: Sequence[str]) -> np.ndarray:
    """Return (layers, texts, units): hidden states 1 to n at each text's last token."""
    rows = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt").to(model.device)
        output = model(**inputs, output_hidden_states=True)
        rows.append(torch.stack([state[0, -1] for state in output.hidden_states[1:]]))
    return torch.stack(rows, dim=1).float().cpu().numpy()
