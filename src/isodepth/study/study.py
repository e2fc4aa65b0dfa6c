"""What is a study?

Which models read which texts, what is captured, how layers are compared, and what is kept: a value that
fixes every result, and says nothing of where and when they are computed. `load_study` reads it from a
file, `Study.of` takes the same keys from Python; both check everything before any work begins.

>>> study = Study.of(models=["offline"], texts=["wikipedia"], n=256, ks=[10])     # doctest: +SKIP
>>> study.models                                                                 # doctest: +SKIP
('smollm2-135m-instruct', 'gemma-3-270m', 'qwen2.5-coder-0.5b-instruct')
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from isodepth.activations.result import ExtractionOptions
from isodepth.affinity.measures import measure_named
from isodepth.defaults import KEPT_NEIGHBORS
from isodepth.models.options import LoadingOptions
from isodepth.progress import Progress, no_progress
from isodepth.texts import ParallelTexts, TextSet, load_parallel_texts, load_texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one task asks of a cluster. A single machine ignores it.

    Parameters
    ----------
    cpus, gpus : float
        How many; of a GPU also a part.
    memory_gb : float, optional
        Main memory in gigabytes (1e9 bytes).
    """

    cpus: int | float = 1.0
    gpus: int | float = 0.0
    memory_gb: int | float | None = None

    def as_dict(self) -> dict[str, float]:
        """Return what is asked for as JSON values."""
        return _without_none(asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTexts:
    """A text set of a study, or two parallel ones: what to read, not yet read.

    Parameters
    ----------
    name : str
        What it is called in the results; unique in the study.
    left : str
        What all models read, or the left ones of a pair; as `load_texts` takes it.
    right : str, optional
        What the right models of a pair read, row by row parallel to `left`.
    n : int, optional
        Exactly so many texts; all where it is left out.
    seed, column, right_column, source, min_chars, max_chars, dedupe
        As in `load_parallel_texts`.
    written : mapping
        What was written for `left` and `right`, where these stand for a path on this machine.
    """

    name: str
    left: str
    right: str | None = None
    n: int | None = None
    seed: int = 1234
    column: str | None = None
    right_column: str | None = None
    source: str | None = None
    min_chars: int | None = None
    max_chars: int | None = None
    dedupe: bool = False
    written: Mapping[str, str] = field(default_factory=dict, hash=False, repr=False)

    @property
    def is_pair(self) -> bool:
        """Whether left and right models read different texts."""
        return self.right is not None

    def load(self, progress: Progress = no_progress) -> ParallelTexts:
        """Return the texts, twice the same where it is no pair.

        They are called what they are called in the study, whatever the path on this machine.

        Parameters
        ----------
        progress : Progress
            Told of downloads.

        Raises
        ------
        IsodepthError
            Its subtypes are those of `load_texts` and `load_parallel_texts`.
        """
        sampling: dict[str, Any] = {
            "n": self.n,
            "seed": self.seed,
            "column": self.column,
            "source": self.source,
            "min_chars": self.min_chars,
            "max_chars": self.max_chars,
            "dedupe": self.dedupe,
            "progress": progress,
        }
        if self.right is None:
            texts = replace(load_texts(self.left, **sampling), name=self.name)
            return ParallelTexts.of(texts, texts)
        pair = load_parallel_texts(self.left, self.right, right_column=self.right_column, **sampling)
        return ParallelTexts.of(self._as_written(pair.left), self._as_written(pair.right))

    def _as_written(self, texts: TextSet) -> TextSet:
        """Return texts whose name does not say where the study file lies."""
        for resolved, written in self.written.items():
            if texts.name.startswith(resolved):
                return replace(texts, name=written + texts.name.removeprefix(resolved))
        return texts

    def as_dict(self) -> dict[str, Any]:
        """Return the entry of a study's key `texts` as JSON values, paths as they were written."""
        entry = asdict(self)
        del entry["written"]
        entry["n"] = "all" if self.n is None else self.n
        entry |= {
            side: self.written.get(entry[side], entry[side])
            for side in ("left", "right")
            if entry[side]
        }
        if not self.is_pair:
            entry = {"name": entry.pop("name"), "texts": entry.pop("left"), **entry}
        return _without_none(entry)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Study:
    """Models, text sets, and how layers are compared.

    Make one with `load_study` or `Study.of`, which check it.

    Parameters
    ----------
    name : str
        What it is called, and the default name of the folder of its results.
    path : Path, optional
        The file that it was read from.
    models : tuple of str
        Models as `load_model` takes them, groups replaced by their members, each once. Paths are those
        of this machine.
    also_as_chat : tuple of str
        Those of them that also read every text as a user's turn in their chat template.
    texts : tuple of StudyTexts
        What they read.
    seed : int
        Of the sampling of texts, where a text set says nothing else.
    captures, poolings, max_tokens
        What is read of the models: every capture, pooled in every way. See `extract`.
    metric, preprocessing : str
        See `nearest_neighbors`; the preprocessing by its canonical name.
    measures : tuple of str
        Keys of `MEASURES`, or names of packages' measures.
    ks : tuple of int
        Neighbors per text, each below the number of texts.
    keep_activations : bool
        Keep the activations in the store (4 bytes x layers x texts x units). Measures that read them
        keep them in any case.
    keep_neighbors : int
        Neighbors kept per text, where there are as many: any k up to this needs no model.
    loading : LoadingOptions
        How models are loaded whose names do not say otherwise.
    resources : Resources
        What a task asks of a cluster.
    model_resources : mapping from str to Resources
        The same, for models that need something else.
    neighbors_resources : Resources, optional
        What finding the neighbors of a reading asks of a cluster, for all models; no GPU. Where it is
        left out, what the reading asks for but the GPU.
    written : mapping from str to str
        What was written for models that stand for a path on this machine.
    """

    name: str
    path: Path | None = None
    models: tuple[str, ...]
    also_as_chat: tuple[str, ...] = ()
    texts: tuple[StudyTexts, ...]
    seed: int = 1234
    captures: tuple[str, ...] = ("block",)
    poolings: tuple[str | int, ...] = ("last",)
    max_tokens: int | None = None
    metric: str = "cosine"
    preprocessing: str = "none"
    measures: tuple[str, ...] = ("mutual_knn",)
    ks: tuple[int, ...] = (10,)
    keep_activations: bool = False
    keep_neighbors: int = KEPT_NEIGHBORS
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    resources: Resources = field(default_factory=Resources)
    model_resources: Mapping[str, Resources] = field(default_factory=dict, hash=False)
    neighbors_resources: Resources | None = None
    written: Mapping[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, **keys: Any) -> "Study":
        """Return the study that has these keys, which are those of a study file.

        Parameters
        ----------
        **keys
            ``models`` and ``texts`` must be there. Tables (``keep``, ``loading``, ``resources``, an
            entry of ``texts``) are mappings; None stands for a key that is left out. A name that begins
            with ./ is a path from the current folder.

        Raises
        ------
        StudyError
            If anything in it cannot be used; all of it is listed, by key.
        """
        from isodepth.study.reading import study_of

        return study_of(keys)

    def extraction_options(self, chat: bool) -> tuple[ExtractionOptions, ...]:
        """Return what is read of a model in one pass: every capture, pooled in every way.

        Parameters
        ----------
        chat : bool
            Whether texts are read as a user's turn.
        """
        return tuple(
            ExtractionOptions(capture=capture, pooling=pooling, max_tokens=self.max_tokens, chat=chat)
            for capture in self.captures
            for pooling in self.poolings
        )

    @property
    def compares_activations(self) -> bool:
        """Whether one of the measures reads activations, which are kept for it."""
        return any(measure_named(measure).reads == "activations" for measure in self.measures)

    def resources_of(self, model: str) -> Resources:
        """Return what a task that loads this model asks of a cluster."""
        return self.model_resources.get(model, self.resources)

    def resources_for_neighbors(self, model: str) -> Resources:
        """Return what a task that finds the neighbors of what this model read asks of a cluster."""
        return self.neighbors_resources or replace(self.resources_of(model), gpus=0.0)

    def as_dict(self) -> dict[str, Any]:
        """Return the study as JSON values, with every key and every default: `of` takes it back.

        Paths are as they were written, so the same study gives the same on every machine.
        """
        return _without_none(
            {
                "name": self.name,
                "seed": self.seed,
                "models": [self.shown(model) for model in self.models],
                "also_as_chat": [self.shown(model) for model in self.also_as_chat],
                "texts": [texts.as_dict() for texts in self.texts],
                "captures": list(self.captures),
                "poolings": list(self.poolings),
                "max_tokens": self.max_tokens,
                "metric": self.metric,
                "preprocessing": self.preprocessing,
                "measures": list(self.measures),
                "ks": list(self.ks),
                "keep": {"activations": self.keep_activations, "neighbors": self.keep_neighbors},
                "loading": _without_none(asdict(self.loading)),
                "resources": {
                    **self.resources.as_dict(),
                    "models": {
                        self.shown(model): resources.as_dict()
                        for model, resources in self.model_resources.items()
                    },
                    **self._neighbors_table(),
                },
            }
        )

    def _neighbors_table(self) -> dict[str, dict[str, float]]:
        if self.neighbors_resources is None:
            return {}
        asked = self.neighbors_resources.as_dict()
        del asked["gpus"]  # it has no such key
        return {"neighbors": asked}

    def shown(self, model: str) -> str:
        """Return a model as the study's author wrote it."""
        return self.written.get(model, model)

    def __repr__(self) -> str:
        said = {one.name: getattr(self, one.name) for one in fields(self)}
        said |= {"models": len(self.models), "texts": [texts.name for texts in self.texts]}
        shown = ("models", "texts", "captures", "poolings", "measures", "ks")
        return f"Study({self.name!r}, {', '.join(f'{key}={said[key]!r}' for key in shown)})"


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value is not None}
