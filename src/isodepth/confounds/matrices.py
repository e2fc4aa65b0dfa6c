"""What do matrices look like under a control? Those of all pairs of models, beside the profile.

>>> table = confound_table(all_controlled(activations, inputs))                 # doctest: +SKIP
>>> table.matrices[1].calibrated("gemma-3-270m", "qwen-2.5-coder-0.5b")           # doctest: +SKIP

Memory: 4 bytes a cell; 276 pairs of 50 layers each under 25 controls, eight of them with a baseline of
their own, take 94 MB. A table takes some 140 bytes a cell, so there is one for each control.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

if TYPE_CHECKING:
    import pyarrow

BASELINE = "baseline"
"""What neighbors without a control are called."""
AT_RANDOM = "{}, at random"
"""What a control of candidates is held against is called."""

# (layers_left, layers_right), of another shape for each pair
Cells = Float32[np.ndarray, "_ _"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlledMatrices:
    """The affinity matrices of all pairs of models under a control. Made by `confound_table`.

    Parameters
    ----------
    name : str
        The control; "baseline" without any; "same_length, at random" for the mean over shuffles that a
        control of candidates is held against.
    pairs : mapping of (str, str) to float32 array (layers_left, layers_right)
        Mutual k-NN similarities by left and right model, in float32 because there are many.
    chance : float
        The similarity of unrelated layers.
    n_texts, k : int
        Texts that were used, and neighbors per text.
    metric, preprocessing : str
        How neighbors were found.
    """

    name: str
    pairs: Mapping[tuple[str, str], Cells]
    chance: float
    n_texts: int
    k: int
    metric: str
    preprocessing: str

    def calibrated(self, left: str, right: str) -> Cells:
        """Return (similarity - chance) / (1 - chance) of a pair: 0 at chance, 1 for the same neighbors.

        Raises
        ------
        KeyError
            If there is no such pair.
        """
        return self._beyond_chance(self.pairs[left, right])

    def to_table(self) -> "pyarrow.Table":
        """Return one row per pair of models and of layers.

        Columns: control, left, right, left_layer, right_layer, similarity, calibrated, chance, n_texts,
        k, metric, preprocessing.
        """
        import pyarrow

        parts = []
        for (left, right), values in self.pairs.items():
            n_left, n_right = values.shape
            columns: dict[str, object] = {
                "control": self.name,
                "left": left,
                "right": right,
                "left_layer": np.repeat(np.arange(1, n_left + 1, dtype=np.int32), n_right),
                "right_layer": np.tile(np.arange(1, n_right + 1, dtype=np.int32), n_left),
                "similarity": values.reshape(-1),
                "calibrated": self._beyond_chance(values).reshape(-1),
                "chance": self.chance,
                "n_texts": np.int32(self.n_texts),
                "k": np.int32(self.k),
                "metric": self.metric,
                "preprocessing": self.preprocessing,
            }
            parts.append(
                pyarrow.table(
                    {
                        name: one if isinstance(one, np.ndarray) else pyarrow.repeat(one, values.size)
                        for name, one in columns.items()
                    }
                )
            )
        return pyarrow.concat_tables(parts)

    def _beyond_chance(self, values: Cells) -> Cells:
        chance = np.float32(self.chance)
        beyond: np.ndarray = (values - chance) / (1 - chance)
        return beyond

    def __repr__(self) -> str:
        return (
            f"ControlledMatrices({self.name!r}, {len(self.pairs)} pairs, k = {self.k}, n_texts = "
            f"{self.n_texts})"
        )
