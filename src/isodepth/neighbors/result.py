"""Neighbors as a result."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isodepth.axes import NeighborIds, NeighborSimilarities
from isodepth.errors import ParameterError
from isodepth.notebook import card


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Neighbors:
    """The k nearest neighbors of every text at every layer.

    Parameters
    ----------
    ids : int32 array (layers, texts, k)
        Rows of the neighbors, nearest first, the text itself left out.
    similarities : float32 array (layers, texts, k)
        How near they are, descending: cosines or correlations in [-1, 1], inner products, or minus the
        Euclidean distances. None is beyond what float32 holds.
    metric : str
        What "near" means: a key of `METRICS`.
    preprocessing : str
        What was done to the activations before: the name of a `Preprocessing`.
    model : str
        The model's name; the label in results.
    texts_digest : str or None
        Identity of the texts. Results with different digests are never compared. None for arrays of
        unknown origin: then rows are taken at their word.
    provenance : mapping
        Where they come from.
    """

    ids: NeighborIds
    similarities: NeighborSimilarities
    metric: str = "cosine"
    preprocessing: str = "none"
    model: str = "model"
    texts_digest: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return int(self.ids.shape[0])

    @property
    def n_texts(self) -> int:
        """The number of texts."""
        return int(self.ids.shape[1])

    @property
    def k(self) -> int:
        """The number of neighbors."""
        return int(self.ids.shape[2])

    def first(self, k: int) -> "Neighbors":
        """Return the same with the `k` nearest only.

        Raises
        ------
        ParameterError
            If fewer than `k` are held.
        """
        if not 1 <= k <= self.k:
            raise ParameterError(
                f"{self.model}: k = {k} nearest neighbors were asked for; expected 1 <= k <= "
                f"{self.k}, the number that is held"
            )
        return replace(self, ids=self.ids[:, :, :k], similarities=self.similarities[:, :, :k])

    def __repr__(self) -> str:
        return f"Neighbors({self.model!r}, (layers, texts, k) = {self.ids.shape})"

    def _repr_html_(self) -> str:
        rows = {
            "layers": str(self.n_layers),
            "texts": f"{self.n_texts:,}",
            "k": str(self.k),
            "metric": self.metric,
            "preprocessing": self.preprocessing,
            "digest of the texts": self.texts_digest or "not known",
        }
        return card("Neighbors", self.model, rows=rows)
