"""What exactly is read of a model on these texts, and does it hold? Measured without a full run.

>>> found = inspect_model("smollm2-135m-instruct", "wikipedia")                  # doctest: +SKIP
>>> found.contract.batched_against_single                                        # doctest: +SKIP

The contract itself is measured by every extraction (`isodepth.activations.contract`). Here its probes
are also compared by their neighbors, which is what everything after extraction reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from isodepth.activations.result import ExtractionOptions
from isodepth.affinity import mutual_knn
from isodepth.errors import ParameterError
from isodepth.models import LoadingOptions, Model, resolve_model
from isodepth.neighbors import nearest_neighbors
from isodepth.progress import Progress, no_progress
from isodepth.texts import TextSet, load_texts

if TYPE_CHECKING:
    from isodepth.activations import Extraction
    from isodepth.activations.contract import Contract
    from isodepth.activations.encoding import EncodedTexts

N_PROBES = 32
MOST_NEIGHBORS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inspection:
    """A model on a text set, inspected. Made by `inspect_model`.

    Parameters
    ----------
    model : Model
        The model.
    texts : TextSet
        The texts.
    options : ExtractionOptions
        What would be read.
    encoded : EncodedTexts
        The texts as the model reads them.
    contract : Contract
        What was measured on probe texts.
    neighbors : ProbeNeighbors or None
        The probes' neighbors, batched against one at a time; None with fewer than three probes.
    """

    model: Model
    texts: TextSet
    options: ExtractionOptions
    encoded: "EncodedTexts"
    contract: "Contract"
    neighbors: "ProbeNeighbors | None"

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "model": self.model.name,
            "model_digest": self.model.digest,
            "n_layers": self.model.n_layers,
            "width": self.model.width,
            "context_length": self.model.context_length,
            "skipped_blocks": [block + 1 for block in self.model.skipped_blocks],
            "is_causal": self.model.is_causal,
            "texts": self.texts.name,
            "texts_digest": self.texts.digest,
            "options": self.options.as_dict(),
            **self.model.provenance,
            "encoding": self.encoded.as_dict(),
            "contract": _with_neighbors(self.contract, self.neighbors),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeNeighbors:
    """Neighbors of probe texts among one another, batched against one at a time.

    Parameters
    ----------
    k : int
        Neighbors per probe.
    n_probes : int
        How many probes.
    lowest_overlap : float
        The mutual k-NN of batched and single activations, in [0, 1], in the layer where it is lowest.
    layer : int
        That layer, from 1.
    """

    k: int
    n_probes: int
    lowest_overlap: float
    layer: int


def inspect_model(
    model: Model | str | Path,
    texts: TextSet | Sequence[str] | str | Path,
    *,
    capture: str = "block",
    pooling: str | int = "last",
    max_tokens: int | None = None,
    chat: bool = False,
    n_probes: int = N_PROBES,
    loading: LoadingOptions | None = None,
    progress: Progress = no_progress,
) -> Inspection:
    """Return what would be read of a model on texts, and what the contract measures on some of them.

    Parameters
    ----------
    model : Model, str or Path
        A model, or what `load_model` takes.
    texts : TextSet, sequence of str, str or Path
        A text set, or what `load_texts` takes.
    capture, pooling, max_tokens, chat
        As in `extract`.
    n_probes : int
        How many texts to measure on, at least 2.
    loading : LoadingOptions, optional
        How to load the model, where its name does not say otherwise.
    progress : Progress
        Told how far the work is.

    Raises
    ------
    IsodepthError
        Its subtypes are those of `extract`: the contract may not hold.
    """
    from isodepth.activations import prepare_extraction
    from isodepth.models import load_model

    if n_probes < 2:
        raise ParameterError(f"n_probes must be at least 2; got {n_probes}")
    text_set = texts if isinstance(texts, TextSet) else load_texts(texts, progress=progress)
    options = ExtractionOptions(capture=capture, pooling=pooling, max_tokens=max_tokens, chat=chat)
    loaded = (
        model
        if isinstance(model, Model)
        else load_model(resolve_model(model, options=loading), progress=progress)
    )
    label = f"checking {loaded.name} on some of the texts"
    progress(label, 0, 1, "steps")
    (extraction,) = prepare_extraction(loaded, text_set, options, n_probes=n_probes)
    (contract,) = extraction.contracts
    progress(label, 1, 1, "steps")
    return Inspection(
        model=loaded,
        texts=text_set,
        options=options,
        encoded=extraction.encoded,
        contract=contract,
        neighbors=probe_neighbors(contract),
    )


def probe_neighbors(contract: "Contract") -> ProbeNeighbors | None:
    """Return how well the probes' neighbors agree, batched as the run is and one at a time."""
    n_probes = contract.single.shape[1]
    if n_probes < 3:
        return None
    k = max(1, min(MOST_NEIGHBORS, n_probes // 3))
    batched, single = (nearest_neighbors(v, k).ids for v in (contract.batched, contract.single))
    overlaps = [mutual_knn(one, other) for one, other in zip(batched, single, strict=True)]
    layer = int(np.argmin(overlaps))
    return ProbeNeighbors(k=k, n_probes=n_probes, lowest_overlap=overlaps[layer], layer=layer + 1)


def with_probe_neighbors(extraction: "Extraction", contract: "Contract") -> dict[str, Any]:
    """Return an extraction's provenance with the agreement of its probes' neighbors."""
    neighbors = probe_neighbors(contract)
    return {**extraction.provenance(contract), "contract": _with_neighbors(contract, neighbors)}


def _with_neighbors(contract: "Contract", neighbors: ProbeNeighbors | None) -> dict[str, Any]:
    named = None
    if neighbors is not None:
        named = {name: getattr(neighbors, name) for name in neighbors.__slots__}
    return {**contract.as_dict(), "neighbors_batched_against_single": named}
