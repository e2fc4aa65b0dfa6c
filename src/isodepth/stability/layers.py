"""How firm are the neighbors of each layer? Margins, ties and hubs, and the geometry behind them.

A neighbor counts or not by being k-th or (k+1)-th, however little lies between the two. The margin is
what lies between. Where it is less than noise in the activations can turn over, the last place of a
list is drawn by lot; where many texts name the same few (hubs), layers share neighbors because they
share hubs.

How much noise can turn: if every vector is off by at most a share d of its length, two cosines c and c'
to one text come nearer by at most 2 d (sin + sin') to first order. d is what reading in batches was
measured to change, or the rounding of float32 where nothing was measured. What is stored is rounded
itself, which is added.

>>> found = layer_stability(neighbors, k=10)                                     # doctest: +SKIP
>>> found.unresolved.max(), found.hub_skewness.argmax() + 1                      # doctest: +SKIP
(0.03, 17)

Memory: the last two columns of the lists, and one layer of activations in float64, twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from isodepth.activations.result import Activations
from isodepth.axes import LayerActivations, layer_numbers, relative_depths
from isodepth.errors import ActivationsError, DigestMismatchError, ParameterError
from isodepth.neighbors import Neighbors
from isodepth.neighbors.metrics import found_by
from isodepth.notebook import card, table
from isodepth.stability.geometry import layer_geometry

if TYPE_CHECKING:
    import pyarrow

Numbers = Float64[np.ndarray, " layers"]

FLOAT32_ROUNDING = 2.0**-24
"""By how much rounding to float32 changes a number at most, relative to it."""
LOW_QUANTILE = 0.05
QUANTITIES = {
    "margin": "median margin between the k-th and the next similarity",
    "low_margin": "margin that 5 % of the texts stay below",
    "unresolved": "share of texts whose margin noise can turn over",
    "tied": "share of texts whose k-th and next similarity are equal in float32",
    "hub_skewness": "skewness of how often texts are named as neighbors",
    "most_named": "how often the most named text is named",
    "unnamed": "share of texts that none names",
    "dimension": "effective dimension (participation ratio)",
    "first_component": "share of the variance in the first principal component",
    "anisotropy": "mean cosine of two different texts",
}
"""What is known of a layer, and what each is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerStability:
    """How firm the neighbors of each layer of a model are. Made by `layer_stability`.

    Parameters
    ----------
    model : str
        The model's name.
    n_texts, k : int
        Texts, and neighbors per text.
    noise : float
        By how much a vector may be off, relative to its length.
    margin, low_margin : float64 arrays (layers,)
        The median over texts of the k-th similarity minus the next one, and the 5 % quantile. NaN where
        similarities are not known.
    unresolved : float64 array (layers,)
        The share of texts whose margin `noise` can turn over. Of metrics other than cosine, and after
        preprocessing, rounding to float32 alone; NaN where similarities are not known.
    tied : float64 array (layers,)
        The share of texts whose k-th and next similarity are equal as they are stored, in float32; the
        neighbors themselves were told apart in float64.
    hub_skewness : float64 array (layers,)
        The skewness, over texts, of how many others name a text; 0 where all are named equally often.
    most_named : float64 array (layers,)
        How many others name the most named text.
    unnamed : float64 array (layers,)
        The share of texts that no other names.
    dimension, first_component, anisotropy : float64 arrays (layers,) or None
        See `LayerGeometry`; None without activations. Of the activations as they are, before any
        preprocessing, and by cosine whatever the metric.
    metric, preprocessing : str
        How the neighbors were found.
    """

    model: str
    n_texts: int
    k: int
    noise: float
    margin: Numbers
    low_margin: Numbers
    unresolved: Numbers
    tied: Numbers
    hub_skewness: Numbers
    most_named: Numbers
    unnamed: Numbers
    dimension: Numbers | None = None
    first_component: Numbers | None = None
    anisotropy: Numbers | None = None
    metric: str = "cosine"
    preprocessing: str = "none"

    @property
    def n_layers(self) -> int:
        """The number of layers."""
        return len(self.margin)

    @property
    def has_vector_noise(self) -> bool:
        """Whether `unresolved` counts noise of vectors: it is told for cosines as they are."""
        return (self.metric, self.preprocessing) == ("cosine", "none")

    @property
    def random_skewness(self) -> float:
        """The skewness of how often texts are named if every text names k others at random."""
        share = self.k / (self.n_texts - 1)
        spread = np.sqrt((self.n_texts - 1) * share * (1 - share))
        return float((1 - 2 * share) / spread) if spread > 0 else 0.0

    @property
    def known(self) -> dict[str, Numbers]:
        """What is known of the layers, by the keys of `QUANTITIES`."""
        values = {name: getattr(self, name) for name in QUANTITIES}
        return {name: value for name, value in values.items() if value is not None}

    def to_table(self) -> "pyarrow.Table":
        """Return one row a layer: layer, relative depth, and `QUANTITIES`, null where not known."""
        import pyarrow

        columns = {
            "layer": pyarrow.array(layer_numbers(self.n_layers), "int32"),
            "depth": pyarrow.array(relative_depths(self.n_layers)),
        }
        for name in QUANTITIES:
            values = self.known.get(name, np.full(self.n_layers, np.nan))
            columns[name] = pyarrow.array(values, "float64", from_pandas=True)  # NaN becomes null
        return pyarrow.table(columns)

    def __repr__(self) -> str:
        return (
            f"LayerStability({self.model!r}, layers = {self.n_layers}, n_texts = {self.n_texts}, "
            f"k = {self.k})"
        )

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{np.min(values):.3g}", f"{np.median(values):.3g}", f"{np.max(values):.3g}", what)
            for name, what in QUANTITIES.items()
            if (values := self.known.get(name)) is not None
        ]
        header = ("quantity", "lowest", "median", "highest", "what it is")
        return card(
            "LayerStability",
            self.model,
            rows={
                "layers": str(self.n_layers),
                "texts": f"{self.n_texts:,}",
                "k": str(self.k),
                "neighbors by": found_by(self.metric, self.preprocessing),
                "noise of a vector, relative": f"{self.noise:.2g}",
            },
            tables_html=[table(rows, header=header)],
        )


def layer_stability(
    neighbors: Neighbors,
    *,
    k: int = 10,
    noise: float | None = None,
    activations: Activations | Sequence[LayerActivations] | np.ndarray | None = None,
) -> LayerStability:
    """Return margins, ties, hubs and, from activations, the geometry of each layer.

    Parameters
    ----------
    neighbors : Neighbors
        More than `k` of each text.
    k : int
        Neighbors per text.
    noise : float, optional
        By how much a vector may be off, relative to its length. Where it is left out: what reading in
        batches was measured to change, or the rounding of float32 if that is larger or nothing was.
    activations : Activations, or float arrays (texts, units), one a layer, optional
        Where the neighbors come from, before any preprocessing; each layer is taken once.

    Raises
    ------
    ParameterError
        If no more than `k` neighbors are held, or layers or texts of the activations are not as many.
    DigestMismatchError
        If the activations are of other texts.
    ActivationsError
        If activations are not finite or have no direction; model, layer and rows are named.

    References
    ----------
    Skewness of how often texts are named: Radovanovic, Nanopoulos & Ivanovic 2010 (JMLR 11), section 3.
    The rest of the neighbors is ours; of the geometry, see `layer_geometry`.
    """
    if not 1 <= k < neighbors.k:
        raise ParameterError(
            f"{neighbors.model}: the margin at k = {k} needs neighbor {k + 1}; {neighbors.k} are held, "
            f"so expected 1 <= k <= {neighbors.k - 1}",
            hint="use a smaller k, or keep more neighbors: the study's keep.neighbors.",
        )
    if noise is not None and not noise >= 0:
        raise ParameterError(f"noise must be a share of a vector's length, 0 or more; got {noise}")
    n_layers, n_texts, _ = neighbors.ids.shape
    off = recorded_noise(neighbors) if noise is None else noise
    is_of_vectors = (neighbors.metric, neighbors.preprocessing) == ("cosine", "none")
    columns = np.empty((7, n_layers))
    for layer in range(n_layers):
        nearest, following = (
            neighbors.similarities[layer, :, place].astype(np.float64) for place in (k - 1, k)
        )
        named = np.bincount(neighbors.ids[layer, :, :k].reshape(-1), minlength=n_texts)
        columns[:4, layer] = _margins(nearest, following, off if is_of_vectors else None)
        columns[4:, layer] = _skewness(named), named.max(), (named == 0).mean()
    margin, low, unresolved, tied, skewness, most, unnamed = columns
    geometry = None if activations is None else _geometry(neighbors, activations)
    return LayerStability(
        model=neighbors.model,
        n_texts=n_texts,
        k=k,
        noise=off,
        margin=margin,
        low_margin=low,
        unresolved=unresolved,
        tied=tied,
        hub_skewness=skewness,
        most_named=most,
        unnamed=unnamed,
        dimension=None if geometry is None else geometry[:, 0],
        first_component=None if geometry is None else geometry[:, 1],
        anisotropy=None if geometry is None else geometry[:, 2],
        metric=neighbors.metric,
        preprocessing=neighbors.preprocessing,
    )


def recorded_noise(neighbors: Neighbors) -> float:
    """Return by how much vectors may be off, relative to their lengths, as far as recorded.

    The largest change that reading in batches instead of one text at a time was measured to make, and
    at least what rounding to float32 does.
    """
    contract = neighbors.provenance.get("contract") or {}
    return max(FLOAT32_ROUNDING, float(contract.get("batched_against_single") or 0.0))


def _margins(
    nearest: Float64[np.ndarray, " texts"],
    following: Float64[np.ndarray, " texts"],
    noise: float | None,
) -> tuple[float, float, float, float]:
    """Return the median and the low margin, and the shares of texts unresolved and tied."""
    if not (np.isfinite(nearest).all() and np.isfinite(following).all()):
        return np.nan, np.nan, np.nan, np.nan
    margins = nearest - following
    turned = FLOAT32_ROUNDING * (np.abs(nearest) + np.abs(following))
    if noise is not None:
        for cosine in (nearest, following):
            turned += 2 * noise * np.sqrt(np.maximum(0.0, (1 - cosine) * (1 + cosine)))
    return (
        float(np.median(margins)),
        float(np.quantile(margins, LOW_QUANTILE)),
        float((margins <= turned).mean()),
        float((margins == 0).mean()),
    )


def _skewness(counts: np.ndarray) -> float:
    """Return the third standardized moment of numbers; 0 where all are the same."""
    apart = counts - counts.mean()
    variance = float((apart**2).mean())
    return float((apart**3).mean()) / variance**1.5 if variance > 0 else 0.0


def _geometry(
    neighbors: Neighbors, activations: Activations | Sequence[LayerActivations] | np.ndarray
) -> Float64[np.ndarray, "layers 3"]:
    """Return dimension, first component and anisotropy of each layer."""
    layers = activations.values if isinstance(activations, Activations) else activations
    digest = activations.texts_digest if isinstance(activations, Activations) else None
    if None not in (digest, neighbors.texts_digest) and digest != neighbors.texts_digest:
        raise DigestMismatchError(
            f"{neighbors.model}: neighbors and activations are of different texts: digest "
            f"{neighbors.texts_digest} against {digest}"
        )
    if len(layers) != neighbors.n_layers:
        raise ParameterError(
            f"{neighbors.model}: neighbors of {neighbors.n_layers} layers, activations of {len(layers)}"
        )
    found = np.empty((neighbors.n_layers, 3))
    for layer in range(neighbors.n_layers):
        vectors = np.asarray(layers[layer])
        if len(vectors) != neighbors.n_texts:
            raise ParameterError(
                f"{neighbors.model}, layer {layer + 1}: neighbors of {neighbors.n_texts:,} texts, "
                f"activations of {len(vectors):,}"
            )
        try:
            found[layer] = layer_geometry(vectors)
        except ActivationsError as error:
            raise ActivationsError(
                f"{neighbors.model}, layer {layer + 1}: {error.message}", hint=error.hint
            ) from error
    return found
