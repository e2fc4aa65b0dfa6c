"""Inspecting a model from Python: the contract, and the probes' neighbors."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import tiny_models
from isodepth import TextSet, extract, inspect_model, load_model
from isodepth.activations import prepare_extraction
from isodepth.activations.result import ExtractionOptions
from isodepth.errors import ParameterError
from isodepth.inspection import Inspection, ProbeNeighbors, probe_neighbors, with_probe_neighbors
from isodepth.models import LoadingOptions

LENGTHS = [2 + (13 * number) % 31 for number in range(37)]
TEXTS = TextSet.of(tiny_models.texts_of(LENGTHS, seed=29), name="tiny-texts")


@pytest.fixture(scope="module")
def found(llama_folder: Path) -> Inspection:
    return inspect_model(llama_folder, TEXTS, n_probes=29)


def slow_lowest_overlap(batched: np.ndarray, single: np.ndarray, k: int) -> tuple[float, int]:
    """Return the lowest share of common neighbors and its layer, counted with sets."""

    def near(values: np.ndarray, text: int) -> set[int]:
        vectors = values.astype(np.float64)
        norms = np.linalg.norm(vectors, axis=1)
        cosines = vectors @ vectors[text] / (norms * norms[text])
        others = [one for one in range(len(vectors)) if one != text]
        return set(sorted(others, key=lambda one: -cosines[one])[:k])

    shares = [
        np.mean([len(near(one, text) & near(other, text)) / k for text in range(len(one))])
        for one, other in zip(batched, single, strict=True)
    ]
    layer = int(np.argmin(shares))
    return float(shares[layer]), layer + 1


@pytest.mark.parametrize(("n_probes", "k"), [(3, 1), (5, 1), (13, 4), (29, 9), (37, 10)])
@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
def test_probe_neighbors_are_those_counted_with_sets(
    n_probes: int, k: int, noise: float, rng: np.random.Generator
) -> None:
    single = rng.normal(size=(5, n_probes, 11)).astype(np.float32)
    # one layer is disturbed more than the others
    amounts = noise * np.array([1, 1, 3, 1, 1])[:, None, None]
    batched = (single + amounts * rng.normal(size=single.shape)).astype(np.float32)
    answer = probe_neighbors(SimpleNamespace(batched=batched, single=single))  # type: ignore[arg-type]
    assert answer is not None
    assert (answer.k, answer.n_probes) == (k, n_probes)
    expected, layer = slow_lowest_overlap(batched, single, k)
    assert answer.lowest_overlap == pytest.approx(expected)
    assert answer.layer == layer
    assert (answer.lowest_overlap == 1) == (noise == 0)


def test_two_probes_have_no_neighbors_to_tell(llama_folder: Path) -> None:
    few = inspect_model(llama_folder, TEXTS, n_probes=2)
    assert few.neighbors is None
    assert len(few.contract.probe_tokens) == 2
    assert few.as_dict()["contract"]["neighbors_batched_against_single"] is None


def test_an_inspection_holds_what_an_extraction_of_the_same_would(
    found: Inspection, llama_folder: Path
) -> None:
    assert (found.model.n_layers, found.texts, found.options) == (5, TEXTS, ExtractionOptions())
    (prepared,) = prepare_extraction(load_model(llama_folder), TEXTS, found.options, n_probes=29)
    assert found.contract.as_dict() == prepared.contracts[0].as_dict()
    assert found.encoded.as_dict() == prepared.encoded.as_dict()
    assert found.neighbors == probe_neighbors(prepared.contracts[0])


def test_the_probes_are_read_as_the_run_reads_them(found: Inspection, llama_folder: Path) -> None:
    values = extract(llama_folder, TEXTS).values
    lengths = 1 + np.array(LENGTHS)
    assert found.contract.single.shape == (5, 29, 26)
    matched = [
        np.abs(values - probe[:, None]).max(axis=(0, 2)).argmin()
        for probe in found.contract.single.swapaxes(0, 1)
    ]
    assert len(set(matched)) == 29
    assert tuple(lengths[matched]) == found.contract.probe_tokens
    np.testing.assert_allclose(found.contract.single, values[:, matched], rtol=1e-4, atol=1e-4)


def test_everything_is_json_and_nothing_is_forgotten(found: Inspection) -> None:
    said = found.as_dict()
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    expected = {
        "model": "tiny-llama",
        "model_digest": found.model.digest,
        "n_layers": 5,
        "width": 26,
        "context_length": 211,
        "skipped_blocks": [],
        "is_causal": True,
        "texts": "tiny-texts",
        "texts_digest": TEXTS.digest,
        "dtype": "float32",
        "architecture": "LlamaModel",
        "blocks_at": "layers",
        "device": "cpu",
    }
    assert expected.items() <= said.items()
    assert said["options"] == found.options.as_dict()
    assert said["encoding"] == found.encoded.as_dict()
    fields = {field.name for field in dataclasses.fields(found.contract)}
    measured = fields - {"batched", "single"}  # the probes' activations themselves
    assert set(said["contract"]) == {*measured, "neighbors_batched_against_single"}
    neighbors = {field.name for field in dataclasses.fields(ProbeNeighbors)}
    assert set(said["contract"]["neighbors_batched_against_single"]) == neighbors


def test_provenance_with_neighbors_changes_nothing_else(llama_folder: Path) -> None:
    (extraction,) = prepare_extraction(load_model(llama_folder), TEXTS, ExtractionOptions())
    (contract,) = extraction.contracts
    plain, more = extraction.provenance(contract), with_probe_neighbors(extraction, contract)
    near = more["contract"].pop("neighbors_batched_against_single")
    assert more == plain
    assert near["n_probes"] == 8
    assert near["k"] == 2


def test_loading_options_count_where_the_name_says_nothing(llama_folder: Path) -> None:
    rounded = LoadingOptions(dtype="bfloat16")
    assert inspect_model(llama_folder, TEXTS, loading=rounded).as_dict()["dtype"] == "bfloat16"
    named = inspect_model(f"{llama_folder}(dtype=float32)", TEXTS, loading=rounded)
    assert named.as_dict()["dtype"] == "float32"


def test_a_model_in_memory_is_inspected_as_it_is(found: Inspection) -> None:
    again = inspect_model(found.model, TEXTS, n_probes=29)
    assert again.model is found.model
    assert again.as_dict() == found.as_dict()


@pytest.mark.parametrize("n_probes", [1, 0, -3])
def test_fewer_than_two_probes_are_refused(n_probes: int) -> None:
    with pytest.raises(ParameterError) as refused:
        inspect_model("no-such-model", TEXTS, n_probes=n_probes)
    assert refused.value.message == f"n_probes must be at least 2; got {n_probes}"
