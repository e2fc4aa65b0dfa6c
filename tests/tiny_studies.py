"""Tiny studies on models and texts in folders, and counts of what a run loads, reads and measures."""

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isodepth.affinity import MEASURES
from isodepth.results import StudyResults
from isodepth.study import Study
from model_measures import of_models

N_RED, N_BLUE = 41, 37
LENGTHS = {"red": 13, "blue": 7, "green": 13}
"""The steps by which lengths of texts go; red and green texts are parallel."""


@dataclass
class Counts:
    """What was done while it was counted."""

    loads: list[str] = field(default_factory=list)
    batches: list[str] = field(default_factory=list)
    pairs: list[tuple[int, int]] = field(default_factory=list)

    def clear(self) -> None:
        self.loads.clear()
        self.batches.clear()
        self.pairs.clear()


@contextlib.contextmanager
def counting(given: pytest.MonkeyPatch | None = None) -> Iterator[Counts]:
    """Count models loaded and batches read, by the model's name, and pairs given to `overlap`.

    The measure `overlap` is mutual k-NN, registered anew as a plain function of one pair of models.
    Where a patch is given, it is that which is undone in the end, with all else that it changed.
    """
    import isodepth.activations.memory
    import isodepth.models.loading

    counts = Counts()
    load = isodepth.models.loading.load_model
    read = isodepth.activations.memory.HalvingReader.read
    measure = MEASURES["mutual_knn"]

    def counted_load(source: Any, **settings: Any) -> Any:
        counts.loads.append(source.name)
        return load(source, **settings)

    def counted_read(self: Any, *arguments: Any, **settings: Any) -> Any:
        counts.batches.append(self._reader.model.name)
        return read(self, *arguments, **settings)

    def overlap(left: np.ndarray, right: np.ndarray) -> np.ndarray:
        counts.pairs.append((len(left), len(right)))
        return measure(left, right, left.shape[2])

    with contextlib.nullcontext(given) if given else pytest.MonkeyPatch.context() as patch:
        patch.setattr(isodepth.models.loading, "load_model", counted_load)
        patch.setattr(isodepth.activations.memory.HalvingReader, "read", counted_read)
        patch.setitem(MEASURES, "overlap", of_models(overlap))
        yield counts


def written_texts(folder: Path) -> Path:
    """Write red.txt, blue.txt and green.txt, a text a line; return their folder."""
    import tiny_models

    for seed, (name, step) in enumerate(LENGTHS.items(), 29):
        n_texts, most = (N_BLUE, 29) if name == "blue" else (N_RED, 31)
        texts = tiny_models.texts_of([2 + step * i % most for i in range(n_texts)], seed=seed)
        (folder / f"{name}.txt").write_text("\n".join(texts) + "\n")
    return folder


def tiny_study(*models: Path, texts: list[Any], **keys: Any) -> Study:
    """Return a study of models in folders, with `overlap` as its measure and few neighbors kept."""
    keys = {"n": 31, "ks": [3], "keep": {"neighbors": 7}, "measures": ["overlap"], **keys}
    return Study.of(models=[str(model) for model in models], texts=texts, **keys)


@dataclass(frozen=True)
class Ran:
    """A study that was run, where, and what that took."""

    study: Study
    store: Path
    out: Path
    results: StudyResults
    loads: tuple[str, ...]
    batches: tuple[str, ...]
    pairs: tuple[tuple[int, int], ...]


def ran_study(base: Path, *models: Path, texts: list[Any], **keys: Any) -> Ran:
    """Run a tiny study; its results, store and cache are folders of `base`."""
    from isodepth.pipeline.run import run_study
    from isodepth.store import Store

    with pytest.MonkeyPatch.context() as patch, counting() as counted:
        patch.setenv("ISODEPTH_CACHE", str(base / "cache"))
        study = tiny_study(*models, texts=texts, **keys)
        results = run_study(study, base / "out", store=Store(base / "store"))
        took = (tuple(counted.loads), tuple(counted.batches), tuple(counted.pairs))
    return Ran(study, base / "store", base / "out", results, *took)


def bytes_of(folder: Path) -> dict[str, str]:
    """Return the sum of every file of results by name, but of the log."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.suffix != ".log"
    }


def data_files(store: Path, *stages: str) -> list[Path]:
    """Return the files of the artifacts of some stages."""
    return sorted(path for stage in stages for path in (store / stage).rglob("*") if path.is_file())


def flipped(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x01
    path.write_bytes(data)


def truncated(path: Path) -> None:
    """Cut a file in half."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


HARMS: Mapping[str, Callable[[Path], None]] = {
    "flipped": flipped,
    "truncated": truncated,
    "deleted": Path.unlink,
}


def together(*works: Callable[[], object], seconds: float = 60) -> list[object]:
    """Run functions in threads at once; return what each returned, or the error that it raised."""
    found: list[object] = [None] * len(works)
    barrier = threading.Barrier(len(works))

    def run(place: int) -> None:
        barrier.wait()
        try:
            found[place] = works[place]()
        except BaseException as error:  # noqa: BLE001 - given to the test
            found[place] = error

    threads = [threading.Thread(target=run, args=(i,), daemon=True) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "it hangs"
    return found
