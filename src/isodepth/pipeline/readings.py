"""What does one model read of one text set, and what of it is in the store?

A reading may want several captures and poolings; they are read in one pass. Each of them has its own
artifacts, so that a capture that is added later costs one more pass for that capture alone.
`isodepth.pipeline.reading_work` does what is missing.

Memory: neighbors are memory maps of their files.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from isodepth.activations import ExtractionOptions
from isodepth.activations.result import EXTRACTION_VERSION, Activations
from isodepth.models import LoadingOptions, ModelSource
from isodepth.neighbors import NEIGHBORS_VERSION, Neighbors
from isodepth.store import ResumableArray, Store, content_key
from isodepth.texts import TextSet


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredNames:
    """What a store had of readings when it was listed, by names.

    Parameters
    ----------
    neighbors : mapping of str to list of str
        The names of this stage by what they begin with, the key without the number of neighbors.
    activations : frozenset of str
        The keys of this stage.
    """

    neighbors: Mapping[str, Sequence[str]]
    activations: frozenset[str]

    @classmethod
    def of(cls, store: Store) -> "StoredNames":
        """List a store."""
        neighbors: dict[str, list[str]] = {}
        for name in store.keys("neighbors"):
            neighbors.setdefault(name.rpartition("-k")[0], []).append(name)
        return cls(neighbors=neighbors, activations=frozenset(store.keys("activations")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One model on one text set, in one pass.

    Parameters
    ----------
    source : ModelSource
        The model.
    texts : TextSet
        The texts.
    options : tuple of ExtractionOptions
        What is read; they differ in capture and pooling only.
    kept_k : int
        So many neighbors are kept where they are computed, if there are as many texts.
    metric, preprocessing : str
        See `nearest_neighbors`; the preprocessing by its canonical name.
    least_k : int
        The fewest neighbors per text that must be there to be compared.
    wanted_k : int
        The fewest that should be there: with less a reading is not complete, but of use.
    keep_activations : bool
        Whether activations stay in the store.
    written : str, optional
        The model's name as the user wrote it, to find it on another machine.
    loading : LoadingOptions, optional
        How to load it there.
    """

    source: ModelSource
    texts: TextSet
    options: tuple[ExtractionOptions, ...]
    kept_k: int
    metric: str = "cosine"
    preprocessing: str = "none"
    least_k: int = 1
    wanted_k: int = 1
    keep_activations: bool = False
    written: str | None = None
    loading: LoadingOptions = field(default_factory=LoadingOptions)

    @property
    def stored_k(self) -> int:
        """Neighbors per text that a new artifact holds."""
        return min(max(self.complete_k, self.kept_k), len(self.texts) - 1)

    @property
    def complete_k(self) -> int:
        """Neighbors per text without which a reading is not complete."""
        return max(self.least_k, self.wanted_k)

    def activations_key(self, options: ExtractionOptions) -> str:
        """Return the key of the activations for one of the options."""
        return content_key(
            {
                "stage": "activations",
                "version": EXTRACTION_VERSION,
                "model": self.source.digest,
                "texts": self.texts.digest,
                **options.as_dict(),
            }
        )

    def neighbors_key(self, options: ExtractionOptions) -> str:
        """Return the key of the neighbors for one of the options; stored under it with their number."""
        said = {} if self.preprocessing == "none" else {"preprocessing": self.preprocessing}
        return content_key(
            {
                "stage": "neighbors",
                "version": NEIGHBORS_VERSION,
                "activations": self.activations_key(options),
                "metric": self.metric,
                **said,
            }
        )

    def enough_neighbors(
        self, options: ExtractionOptions, stored: Iterable[str], *, least: int | None = None
    ) -> list[str]:
        """Return those of the names of stored neighbors that are enough, the best first.

        Enough are `least`, or `least_k` where it is left out. Best are the fewest with which the
        reading is complete, so that what is compared does not change with what else the store has.
        """
        start = f"{self.neighbors_key(options)}-k"
        numbers = [name.removeprefix(start) for name in stored if name.startswith(start)]
        fewest = self.least_k if least is None else least
        enough = [int(k) for k in numbers if k.isdecimal() and int(k) >= fewest]
        return [f"{start}{k}" for k in sorted(enough, key=lambda k: (k < self.complete_k, k))]

    def named_neighbors(
        self, options: ExtractionOptions, names: StoredNames, *, least: int | None = None
    ) -> list[str]:
        """Return the names of enough neighbors that a store had when it was listed, the best first."""
        return self.enough_neighbors(
            options, names.neighbors.get(self.neighbors_key(options), ()), least=least
        )

    def stored_neighbors(
        self, store: Store, options: ExtractionOptions, *, least: int | None = None
    ) -> Neighbors | None:
        """Return enough neighbors per text from the store (see above), verified, or None."""
        stored = store.keys("neighbors", prefix=self.neighbors_key(options))
        for name in self.enough_neighbors(options, stored, least=least):
            artifact = store.read("neighbors", name)
            if artifact is not None:
                return Neighbors(
                    ids=artifact.arrays["ids"],
                    similarities=artifact.arrays["similarities"],
                    metric=self.metric,
                    preprocessing=self.preprocessing,
                    model=self.source.name,
                    texts_digest=self.texts.digest,
                    provenance=artifact.manifest["provenance"],
                )
        return None

    def stored_activations(self, store: Store, options: ExtractionOptions) -> Activations | None:
        """Return the activations for one of the options from the store, verified, or None."""
        artifact = store.read("activations", self.activations_key(options))
        if artifact is None:
            return None
        return Activations(
            values=artifact.arrays[ResumableArray.NAME],
            model=self.source.name,
            texts=self.texts.name,
            model_digest=self.source.digest,
            texts_digest=self.texts.digest,
            options=options,
            provenance=artifact.manifest["provenance"],
        )

    def seems_done(self, names: StoredNames) -> bool:
        """Return whether all that is wanted is in the store by its names; nothing is verified."""
        return all(
            self.named_neighbors(options, names, least=self.complete_k)
            and (not self.keep_activations or self.activations_key(options) in names.activations)
            for options in self.options
        )

    def missing(
        self,
        store: Store,
        *,
        names: StoredNames | None = None,
        in_full: Collection[str] = (),
    ) -> tuple[ExtractionOptions, ...]:
        """Return the options for which something is missing or damaged, as `Store.is_whole` tells.

        Parameters
        ----------
        store : Store
            Where it should be.
        names : StoredNames, optional
            What the store had when it was listed; else it is listed now.
        in_full : collection of str
            The keys of neighbors that are read in full for it, because they will be used.

        Warns
        -----
        DamagedArtifactWarning
            Naming what is damaged.
        """
        listed = StoredNames.of(store) if names is None else names

        def is_whole(options: ExtractionOptions) -> bool:
            enough = self.named_neighbors(options, listed, least=self.complete_k)
            if self.neighbors_key(options) in in_full:
                has_neighbors = any(store.read("neighbors", name) is not None for name in enough)
            else:
                has_neighbors = any(store.is_whole("neighbors", name) for name in enough)
            if not (has_neighbors and self.keep_activations):
                return has_neighbors
            return store.is_whole("activations", self.activations_key(options))

        return tuple(options for options in self.options if not is_whole(options))
