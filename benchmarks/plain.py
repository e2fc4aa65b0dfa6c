"""The plain ways to get activations, which the benchmarks compare with.

What a researcher would write first: the model as transformers loads it, without the head that isodepth
does not run either, ``output_hidden_states=True``, the last token of every entry; one text at a time,
or in padded batches of texts of like length.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import transformers

from isodepth.models.gguf import gguf_folder
from isodepth.models.resolution import resolve_model

BATCH_SIZE = 16


def plain_folder(name: str) -> Path:
    """Return the folder that transformers loads a catalogue model from."""
    return gguf_folder(resolve_model(name))


def plain_model(name: str) -> tuple[torch.nn.Module, object]:
    """Return the model, without its head, and the tokenizer of a catalogue model."""
    folder = plain_folder(name)
    transformers.utils.logging.disable_progress_bar()
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), transformers.AutoTokenizer.from_pretrained(folder)


@torch.no_grad()
def plain_activations(model: torch.nn.Module, tokenizer: object, texts: Sequence[str]) -> np.ndarray:
    """Return (layers, texts, units): hidden states 1 to n at each text's last token, one by one."""
    rows = []
    for text in texts:
        inputs = tokenizer(text, return_tensors="pt").to(model.device)
        output = model(**inputs, output_hidden_states=True)
        rows.append(torch.stack([state[0, -1] for state in output.hidden_states[1:]]))
    return torch.stack(rows, dim=1).float().cpu().numpy()


@torch.no_grad()
def padded_activations(model: torch.nn.Module, tokenizer: object, texts: Sequence[str]) -> np.ndarray:
    """Return the same from padded batches of `BATCH_SIZE` texts, sorted by length."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    tokenizer.padding_side = "right"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    rows: list[torch.Tensor] = [torch.empty(0)] * len(texts)
    for start in range(0, len(texts), BATCH_SIZE):
        places = order[start : start + BATCH_SIZE]
        inputs = tokenizer([texts[place] for place in places], return_tensors="pt", padding=True)
        inputs = inputs.to(model.device)
        output = model(**inputs, output_hidden_states=True)
        last = inputs["attention_mask"].sum(dim=1) - 1
        states = torch.stack(output.hidden_states[1:])
        for row, place in enumerate(places):
            rows[place] = states[:, row, last[row]]
    return torch.stack(rows, dim=1).float().cpu().numpy()
