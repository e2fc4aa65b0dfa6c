"""The whole paper without a GPU: from files in the published form to every matrix of studies/paper.toml.

The files hold neighbors by activations that were made up: all models go through one progression of
geometries, each in as many layers as it truly has, with its own width, rotation and noise. Takes minutes
and some 2 GB of disk for as long.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest

from isodepth import StudyResults, generalized_diagonal, load_results
from isodepth.models.paper import PAPER_MODELS
from published_form import written_as_published

pytestmark = pytest.mark.slow

STUDY = Path(__file__).resolve().parents[2] / "studies" / "paper.toml"
KS = (1, 10, 50, 100)
N_TEXTS, N_PROMPTS = 113, 107
BOOKS = "books-en x books-de"
OUR_NAMES = {
    "web_text": "web-text",
    "random_strings": "random-strings",
    "imdb": "imdb",
    "wikipedia": "wikipedia",
    "ifeval": "ifeval",
    "mmlu": "mmlu",
    "book_translations_en": "books-en",
    "book_translations_de": "books-de",
}
REPOSITORIES = {name: model.weights.repository for name, model in PAPER_MODELS.items()}
N_LAYERS = {model.weights.repository: model.n_layers for model in PAPER_MODELS.values()}
TUNED = [name for name, model in PAPER_MODELS.items() if model.is_instruction_tuned]
GPT2 = "openai-community/gpt2"  # published, and no model of the paper
LABELS = tuple(
    label for name in PAPER_MODELS for label in (name, *[f"{name} as chat"] * (name in TUNED))
)

N_KNOTS, N_LATENT = 7, 19
MIDDLE = range(2, 5)
"""Knots at which English and German are alike; a chat template changes those after them."""


@dataclass(frozen=True)
class Published:
    """One published file: what a model saw in a text set."""

    repository: str
    text_set: str
    chat: bool = False

    @property
    def n_texts(self) -> int:
        return N_PROMPTS if self.text_set == "ifeval" else N_TEXTS

    @property
    def n_layers(self) -> int:
        return N_LAYERS.get(self.repository, 12)

    @property
    def texts(self) -> list[str]:
        return [f"{self.text_set}, text {number}" for number in range(self.n_texts)]


FILES = [
    *(Published(model, text_set) for model, text_set in product([*N_LAYERS, GPT2], OUR_NAMES)),
    *(Published(REPOSITORIES[name], text_set, True) for name, text_set in product(TUNED, OUR_NAMES)),
]


def seeded(*names: object) -> np.random.Generator:
    return np.random.default_rng([*repr(names).encode()])


def knot(file: Published, number: int) -> np.ndarray:
    """Return the geometry (texts, latent) that all models have at one of the depths."""
    text_set = file.text_set
    if text_set.startswith("book_translations") and number in MIDDLE:
        text_set = "book_translations"
    in_chat = file.chat and number >= MIDDLE.stop
    return seeded(text_set, number, in_chat).normal(size=(file.n_texts, N_LATENT))


def activations(file: Published) -> np.ndarray:
    """Return made-up activations (layers, texts, units), those of the embedding first.

    Between two knots the geometry passes from one to the other. Random strings have none in common.
    """
    rng = seeded(file)
    n_units = 23 + 2 * [*N_LAYERS, GPT2].index(file.repository)  # every model has its own width
    shape = (file.n_layers + 1, file.n_texts, n_units)
    noise = rng.normal(size=shape)
    if file.text_set == "random_strings":
        return noise
    knots = np.stack([knot(file, number) for number in range(N_KNOTS)])
    depths = np.linspace(0, N_KNOTS - 1, file.n_layers + 1)
    weights = np.exp(-0.5 * (depths[:, np.newaxis] - np.arange(N_KNOTS)) ** 2)
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    rotation = np.linalg.qr(rng.normal(size=(n_units, N_LATENT)))[0].T
    return np.tensordot(weights, knots, axes=1) @ rotation + 0.2 * noise


@cache
def lists(file: Published) -> np.ndarray:
    """Return all other texts (texts, layers, n - 1), nearest first, as they are published."""
    vectors = activations(file)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    similarities = vectors @ vectors.transpose(0, 2, 1)
    similarities[:, range(file.n_texts), range(file.n_texts)] = -np.inf
    order = np.argsort(-similarities, axis=2)[:, :, :-1]
    return order.transpose(1, 0, 2).astype(np.int16)


COMMAND = """
import json, pathlib, sys
from isodepth.cli import main
try:
    main(sys.argv[2:])
finally:
    pathlib.Path(sys.argv[1]).write_text(json.dumps([name.split(".")[0] for name in sys.modules]))
"""


@dataclass(frozen=True)
class Done:
    """How a command ended, and the packages that its process had loaded by then."""

    status: int
    out: list[str]
    errors: list[str]
    packages: set[str]


class Place:
    """A folder with a store, a cache and results, in which commands run as a user runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store, self.results = folder / "store", folder / "results"

    def run(self, *arguments: object) -> Done:
        loaded = self.folder / "loaded.json"
        done = subprocess.run(
            [sys.executable, "-c", COMMAND, str(loaded), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            env={
                **os.environ,
                "ISODEPTH_STORE": str(self.store),
                "ISODEPTH_CACHE": str(self.folder / "cache"),
            },
        )
        packages = set(json.loads(loaded.read_text()))
        return Done(done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), packages)

    def stored(self) -> dict[str, tuple[int, int]]:
        """Return when each data file of the store was written, and which file it is."""
        files = [*self.store.rglob("*.safetensors"), *self.store.rglob("*.json")]
        return {str(file): (file.stat().st_mtime_ns, file.stat().st_ino) for file in files}

    def sums(self) -> dict[str, str]:
        """Return the sums of the results' files."""
        files = [file for file in self.results.iterdir() if file.suffix != ".log"]
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@dataclass(frozen=True)
class Paper:
    """What the commands said that made the paper, and what they left."""

    imported: Done
    first: Done
    second: Done
    stored: tuple[dict[str, tuple[int, int]], dict[str, tuple[int, int]]]
    sums: tuple[dict[str, str], dict[str, str]]
    folder: Path
    results: StudyResults


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paper]:
    folder = tmp_path_factory.mktemp("paper")
    place = Place(folder)
    published = folder / "published"
    for file in FILES:
        written_as_published(
            published,
            file.repository,
            file.text_set,
            file.texts,
            lists.__wrapped__(file),  # not kept: all of them are 290 MB
            chat=file.chat,
            at_max_length=[number % 29 == 3 for number in range(file.n_texts)],
        )
    imported = place.run("import", "neighbors", published)
    shutil.rmtree(published)
    written = STUDY.read_text(encoding="utf-8")
    assert written.count("\nn = 2048\n") == 1
    study = folder / "paper.toml"
    study.write_text(written.replace("\nn = 2048\n", '\nn = "all"\n'), encoding="utf-8")
    run = ("run", study, "--imported", "--out", place.results)
    first = place.run(*run)
    stored, sums = place.stored(), place.sums()
    second = place.run(*run)
    yield Paper(
        imported=imported,
        first=first,
        second=second,
        stored=(stored, place.stored()),
        sums=(sums, place.sums()),
        folder=place.results,
        results=load_results(place.results),
    )
    shutil.rmtree(folder)  # pytest would keep it, and that of two runs before


# what comes in


def test_every_published_file_is_imported_with_its_layers_and_nothing_to_mind(paper: Paper) -> None:
    names = {repository: name for name, repository in REPOSITORIES.items()}
    expected = {
        f"{names.get(file.repository, GPT2)} on {OUR_NAMES[file.text_set]}{' as chat' * file.chat}: "
        f"{file.n_layers} layers, {file.n_texts} texts, 100 neighbors, capture final_norm, pooling last; "
        "it was not there before."
        for file in FILES
    }
    assert len(expected) == len(FILES) == (25 + 8) * 8
    notes = [line for line in paper.imported.out if line.startswith("note: ")]
    assert set(paper.imported.out) == {*expected, *notes}
    (note,) = notes  # how a study takes them, and no complaint
    assert note.startswith("note: 'isodepth run STUDY --imported' takes imported readings")
    assert paper.imported.status == 0


def test_no_command_of_it_loads_torch(paper: Paper) -> None:
    for done in (paper.imported, paper.first, paper.second):
        assert {"isodepth", "numpy"} <= done.packages
        assert done.packages.isdisjoint({"torch", "transformers", "datasets", "matplotlib"})


# what comes out


def test_every_text_set_has_all_layers_of_all_models_at_every_k(paper: Paper) -> None:
    assert paper.results.set_names == (*OUR_NAMES.values(), BOOKS)
    n_layers = tuple(PAPER_MODELS[label.removesuffix(" as chat")].n_layers for label in LABELS)
    assert sum(PAPER_MODELS[name].n_layers for name in PAPER_MODELS) == 1010
    for name, found in paper.results.sets.items():
        kinds = [("mutual_knn", k, "final_norm", "last") for k in KS]
        assert list(map(tuple, found.matrices)) == kinds
        for kind, matrices in found.matrices.items():
            assert matrices.left == matrices.right == LABELS
            assert matrices.left_layers == matrices.right_layers == n_layers
            n_texts = N_PROMPTS if name == "ifeval" else N_TEXTS
            assert (matrices.n_texts, matrices.k) == (n_texts, kind.k)
            assert matrices.n_pairs == (1024 if name == BOOKS else 496)
            assert matrices.is_symmetric == (name != BOOKS)
            if matrices.is_symmetric:
                np.testing.assert_array_equal(matrices.values, matrices.values.T)
                assert (matrices.values.diagonal() == 1).all()


def test_what_the_paper_leaves_out_is_left_out(paper: Paper) -> None:
    assert any(GPT2 in line for line in paper.imported.out)
    manifest = json.loads((paper.folder / "manifest.json").read_text())
    assert "gpt2" not in json.dumps([manifest["study"], manifest["sets"]])


def test_cells_are_the_shares_of_neighbors_that_plain_sets_have_in_common(paper: Paper) -> None:
    rng = np.random.default_rng(7)
    sides = {OUR_NAMES[name]: (name, name) for name in OUR_NAMES}
    sides[BOOKS] = ("book_translations_en", "book_translations_de")
    for (name, texts), k in product(sides.items(), KS):
        matrices = paper.results.matrices(name, k=k)
        for left, right in (
            ("gemma-2b", "llama-3.2-1b"),
            ("llama-3.2-1b", "phi-3.5-mini-instruct as chat"),
            ("phi-3.5-mini-instruct", "phi-3.5-mini-instruct as chat"),
            ("phi-3.5-mini-instruct as chat", "gemma-2b"),
            ("gemma-2b", "gemma-2b"),
        ):
            files = [
                Published(REPOSITORIES[label.removesuffix(" as chat")], text_set, "chat" in label)
                for label, text_set in zip((left, right), texts, strict=True)
            ]
            found = matrices[left, right].values
            layers = [
                (1, 1),
                found.shape,
                *((1 + rng.integers(found.shape)).tolist() for _ in range(3)),
            ]
            for i, j in layers:
                pairs = zip(lists(files[0])[:, i].tolist(), lists(files[1])[:, j].tolist(), strict=True)
                shared = sum(len(set(one[:k]) & set(other[:k])) for one, other in pairs)
                assert found[i - 1, j - 1] == shared / (k * files[0].n_texts)


def test_every_pair_that_shares_a_progression_is_more_alike_on_the_diagonal(paper: Paper) -> None:
    for name, k in product(paper.results.set_names, KS):
        differences = np.array(on_minus_off(paper, name, k))
        if name == "random-strings":
            assert abs(differences.mean()) < 0.002
            assert 0.2 < (differences > 0).mean() < 0.8
        else:
            assert differences.min() > 0


def on_minus_off(paper: Paper, name: str, k: int) -> list[float]:
    matrices = paper.results.matrices(name, k=k)
    differences = []
    for matrix in matrices.pairs():
        on = generalized_diagonal(*matrix.values.shape)
        differences.append(matrix.values[on].mean() - matrix.values[~on].mean())
    return differences


def test_english_and_german_are_alike_in_the_middle_alone(paper: Paper) -> None:
    matrices = paper.results.matrices(BOOKS, k=10)
    for matrix in matrices.pairs():
        last = np.array(matrix.values.shape) - 1
        diagonal = [matrix.values[tuple(np.rint(at * last).astype(int))] for at in (0.02, 0.5, 1)]
        assert diagonal[1] > 0.35
        assert max(diagonal[0], diagonal[2]) < diagonal[1] / 2


def test_the_table_has_a_row_for_every_pair_of_layers_and_says_the_same(paper: Paper) -> None:
    for found in paper.results.sets.values():
        table = pyarrow.parquet.ParquetFile(paper.folder / f"{found.slug}.parquet")
        n_layers = np.array(next(iter(found.matrices.values())).left_layers)
        once = (n_layers.sum() ** 2 + (n_layers**2).sum()) // 2
        n_rows = n_layers.sum() ** 2 if found.name == BOOKS else once
        assert table.metadata.num_rows == len(KS) * n_rows
    pair = {"left": "gemma-2b", "right": "gemma-7b", "k": 50}
    rows = pyarrow.parquet.read_table(
        paper.folder / f"{paper.results['imdb'].slug}.parquet",
        filters=[(key, "==", value) for key, value in pair.items()],
    ).to_pydict()
    matrix = paper.results.matrices("imdb", k=50)["gemma-2b", "gemma-7b"].values
    assert len(rows["similarity"]) == matrix.size
    cells = zip(rows["left_layer"], rows["right_layer"], rows["similarity"], strict=True)
    assert all(matrix[i - 1, j - 1] == similarity for i, j, similarity in cells)


# what is said


def test_what_the_files_do_not_hold_is_said_once_and_is_no_failure(paper: Paper) -> None:
    note = "capture block, pooling last is left out: no such reading was imported"
    assert paper.results.missing == ()
    assert note in paper.results.manifest["notes"]
    assert paper.first.out.count(f"Note: {note}.") == 1
    assert not [line for line in paper.first.errors if line.startswith("cannot be had: ")]


def test_the_terminal_shows_the_plan_and_a_summary_of_every_text_set(paper: Paper) -> None:
    for done, n_stored in ((paper.first, 0), (paper.second, 36)):
        assert done.status == 0
        assert done.out[0] == (
            "paper: 24 models (8 also as chat) on 9 text sets: 4,992 pairs of models. Matrices of all "
            f"layers: 36; {n_stored} in the store"
        )
        assert done.out[3] == "Readings are those that were imported; no model is run."
        for name in paper.results.set_names:
            n = N_PROMPTS if name == "ifeval" else N_TEXTS
            (at,) = [place for place, line in enumerate(done.out) if line.startswith(f"{name} (")]
            assert done.out[at].endswith(
                f"(mutual_knn, k = 10, capture final_norm, pooling last; chance {10 / (n - 1):.3f})"
            )
            n_pairs = 1024 if name == BOOKS else 496
            assert done.out[at + 1].startswith(f"  {n_pairs:,} pairs of models; mean similarity 0.")
            if name != "random-strings":
                on_above = "on the generalized diagonal above off it in"
                assert done.out[at + 2].startswith(f"  {on_above} {n_pairs:,} of {n_pairs:,}")
        assert not [line for line in done.errors if "Warning" in line or "Traceback" in line]


# once more


def test_a_second_run_computes_nothing_and_writes_the_same_bytes(paper: Paper) -> None:
    assert [line for line in paper.first.errors if line.startswith("comparing layers on imdb: done")]
    assert not [line for line in paper.second.errors if line.startswith("comparing layers")]
    before, after = paper.stored
    assert len(before) > len(FILES)
    assert after == before
    before, after = paper.sums
    assert len(before) == 2 * 9 + 1
    assert after == before
