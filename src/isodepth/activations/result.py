"""Activations as a result, and the options that fix their values. Needs no torch."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from isodepth.axes import ActivationValues
from isodepth.errors import ActivationsError, ParameterError, listed, whole_number
from isodepth.notebook import card

EXTRACTION_VERSION = 5
"""Raise it when the same model, texts and options would give other values."""

CAPTURES = {
    "block": "the output of every decoder block, as it leaves the block",
    "final_norm": "the same, but the last layer after the model's final norm, as "
    "output_hidden_states gives it",
    "embedding": "what enters the first block (layer 0), as the only layer",
    "attention": "what every block's attention, or what mixes tokens in its place, hands to the "
    "residual stream, before any norm of that",
    "mlp": "what every block's MLP, or mixture of experts, hands to the residual stream, before any "
    "norm of that",
}
POOLINGS = {
    "last": "the activation at the text's last token",
    "mean": "the mean over the text's tokens",
    "first": "the activation at the first token",
}
"""Besides these, a whole number: a token's place, from 0, or from the end (-1 is the last)."""


def pooling_named(pooling: str | int) -> str | int:
    """Return a pooling under its usual name: 0 is "first", -1 and "-1" are "last".

    Raises
    ------
    ParameterError
        If it is neither a name nor a whole number.
    """
    if isinstance(pooling, str) and pooling.removeprefix("-").isdecimal():
        pooling = int(pooling)
    if pooling in POOLINGS:
        return pooling
    if isinstance(pooling, str):
        raise ParameterError(
            f"pooling must be one of {listed(list(POOLINGS))} or a whole number; got {pooling!r}"
        )
    place = whole_number(pooling, "pooling")
    return {0: "first", -1: "last"}.get(place, place)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionOptions:
    """What fixes the values of an extraction, besides model and texts.

    Parameters
    ----------
    capture : str
        A key of `CAPTURES`.
    pooling : str or int
        A key of `POOLINGS`, or a token's place.
    max_tokens : int, optional
        Cut texts after so many tokens; the model's context length where it is left out. Never more
        than that.
    chat : bool
        Wrap every text as a user's turn in the model's chat template, with the generation prompt.
    """

    capture: str = "block"
    pooling: str | int = "last"
    max_tokens: int | None = None
    chat: bool = False

    def __post_init__(self) -> None:
        if self.capture not in CAPTURES:
            raise ParameterError(
                f"capture must be one of {listed(list(CAPTURES))}; got {self.capture!r}"
            )
        object.__setattr__(self, "pooling", pooling_named(self.pooling))
        if self.max_tokens is not None:
            object.__setattr__(self, "max_tokens", whole_number(self.max_tokens, "max_tokens"))
        if self.max_tokens is not None and self.max_tokens < 1:
            raise ParameterError(f"max_tokens must be at least 1; got {self.max_tokens}")

    @property
    def unusual(self) -> tuple[str, ...]:
        """What a layer stands for, in words, where it is not the block at the last token."""
        words = {"attention": ["attention outputs"], "mlp": ["MLP outputs"]}.get(self.capture, [])
        places = {"last": [], "mean": ["mean over tokens"], "first": ["first token"]}
        return (*words, *places.get(str(self.pooling), [f"token {self.pooling}"]))

    def as_dict(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activations:
    """One vector per layer and text.

    Parameters
    ----------
    values : float32 array (layers, texts, units)
        Row 0 is layer 1, the end of the first decoder block; for capture "embedding" the only row is
        layer 0. Finite.
    model, texts : str
        The names of the model and of the text set.
    model_digest, texts_digest : str
        Their identities.
    options : ExtractionOptions
        What was captured.
    provenance : mapping
        Versions, truncation, special tokens, self-check.
    """

    values: ActivationValues
    model: str
    texts: str
    model_digest: str
    texts_digest: str
    options: ExtractionOptions
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.values.shape[0])

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return int(self.values.shape[1])

    def __repr__(self) -> str:
        return f"Activations({self.model!r} on {self.texts!r}, shape={self.values.shape})"

    def _repr_html_(self) -> str:
        n_layers, n_texts, n_units = self.values.shape
        rows = {
            "layers": str(n_layers),
            "texts": f"{n_texts:,}",
            "units": f"{n_units:,}",
            "capture": f"{self.options.capture}: {CAPTURES[self.options.capture]}",
            "pooling": str(self.options.pooling),
            "in a chat template": "yes" if self.options.chat else "no",
            "size": f"{self.values.nbytes / 1e6:,.1f} MB",
        }
        return card("Activations", f"{self.model} on {self.texts}", rows=rows)


def check_finite(values: np.ndarray, *, rows: np.ndarray, model: str) -> None:
    """Raise if any of the values (layers, rows, units) is NaN or infinite.

    Raises
    ------
    ActivationsError
        Naming the model, the layers and the rows (both from 1).
    """
    wrong = ~np.isfinite(values).all(axis=2)
    if not wrong.any():
        return
    layers = [int(layer) + 1 for layer in np.flatnonzero(wrong.any(axis=1))]
    texts = sorted(int(rows[position]) + 1 for position in np.flatnonzero(wrong.any(axis=0)))
    raise ActivationsError(
        f"{model}: NaN or infinite activations in layer {listed(layers)}, text {listed(texts)} "
        "(both count from 1)",
        hint="the weights may be damaged or overflow in this number format; remove these texts if "
        "only they are affected.",
    )
