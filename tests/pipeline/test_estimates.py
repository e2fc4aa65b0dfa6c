"""Tokens, time and bytes of what is not done yet, from records and sizes."""

from dataclasses import replace
from pathlib import Path

import pytest

from isodepth.activations import ExtractionOptions
from isodepth.models import LoadingOptions, ModelSource, resolve_model
from isodepth.pipeline import estimates
from isodepth.pipeline.estimates import ModelSize, Records
from isodepth.pipeline.reading_work import SPEEDS
from isodepth.pipeline.readings import Reading
from isodepth.store import Store
from isodepth.texts import TextSet

NOTHING = Records(tokens={}, speeds={}, sizes={})
TEXTS = TextSet.of([f"text number {i} of some" for i in range(43)], name="some")
A = ModelSource(kind="folder", name="a", weights_digest="folder:a", location=Path("/no/where"))
B = replace(A, name="b", weights_digest="folder:b")
SMALL, LARGE = ModelSize(n_layers=3, width=10), ModelSize(n_layers=3, width=20)


def reading(source: ModelSource = A, texts: TextSet = TEXTS, **changes: object) -> Reading:
    settings = {"options": (ExtractionOptions(),), "least_k": 3, "kept_k": 7, **changes}
    return Reading(source=source, texts=texts, **settings)


def speed(model: str, n_tokens: int, seconds: float, *, device: str = "cpu", width: int = 10) -> dict:
    return {
        "model_digest": model,
        "n_tokens": n_tokens,
        "seconds": seconds,
        "n_layers": 3,
        "width": width,
        "device": device,
    }


def test_weights_are_those_of_the_blocks() -> None:
    assert SMALL.weights == 12 * 3 * 100
    # within a third of what the published sizes say without embeddings
    assert ModelSize(n_layers=30, width=576).weights == pytest.approx(106e6, rel=0.34)


def test_tokens_go_by_characters_where_nothing_is_known_and_copies_count_once() -> None:
    found = estimates.estimated_tokens(reading(), NOTHING)
    characters = sum(len(text) for text in TEXTS.texts)
    assert found == pytest.approx(characters / 4.3 + len(TEXTS), abs=1)
    doubled = TextSet.of(TEXTS.texts * 2, name="doubled")
    assert estimates.estimated_tokens(reading(texts=doubled), NOTHING) == found
    cut = reading(options=(ExtractionOptions(max_tokens=2),))
    assert estimates.estimated_tokens(cut, NOTHING) == 2 * len(TEXTS)


def test_tokens_that_were_counted_come_first_then_those_of_other_models() -> None:
    records = replace(
        NOTHING,
        tokens={
            (A.digest, TEXTS.digest, False, None): 500,
            (B.digest, TEXTS.digest, False, None): 700,
            (B.digest, "other texts", False, None): 9,
        },
    )
    assert estimates.estimated_tokens(reading(A), records) == 500
    assert estimates.estimated_tokens(reading(B), records) == 700
    other = replace(A, weights_digest="folder:c")
    assert estimates.estimated_tokens(reading(other), records) == 600


def test_tokens_of_chats_and_of_texts_that_were_cut_are_told_apart() -> None:
    chat, cut = (ExtractionOptions(chat=True),), (ExtractionOptions(max_tokens=2),)
    records = replace(
        NOTHING,
        tokens={
            (A.digest, TEXTS.digest, True, None): 1100,
            (A.digest, TEXTS.digest, False, 2): 61,
            (B.digest, TEXTS.digest, True, 2): 13,
        },
    )
    plain = estimates.estimated_tokens(reading(A), NOTHING)
    assert plain not in (1100, 61, 13)
    for source in (A, B):  # its own, and those of the other model
        assert estimates.estimated_tokens(reading(source), records) == plain
        assert estimates.estimated_tokens(reading(source, options=chat), records) == 1100
        assert estimates.estimated_tokens(reading(source, options=cut), records) == 61


@pytest.mark.parametrize("on_cpu", [True, False])
def test_speed_is_the_models_own_else_in_proportion_to_weights_else_measured(on_cpu: bool) -> None:
    records = Records(
        tokens={},
        speeds={(A.digest, on_cpu): (100.0, 300.0, 200.0)},
        sizes={A.digest: SMALL, B.digest: LARGE},
    )
    assert estimates.estimated_speed(A, SMALL, records, on_cpu=on_cpu) == 200
    assert estimates.estimated_speed(A, None, records, on_cpu=on_cpu) == 200
    assert estimates.estimated_speed(B, LARGE, records, on_cpu=on_cpu) == 50
    assert estimates.estimated_speed(B, None, records, on_cpu=on_cpu) is None
    assert estimates.estimated_speed(B, LARGE, NOTHING, on_cpu=False) is None
    measured = estimates.estimated_speed(B, LARGE, NOTHING, on_cpu=True)
    assert measured == pytest.approx(0.7 * estimates.product_rate() / (2 * LARGE.weights))
    assert 1e8 < estimates.product_rate() < 1e14


def test_bytes_are_those_of_arrays() -> None:
    both = reading(options=(ExtractionOptions(), ExtractionOptions(pooling="mean")))
    assert estimates.kept_bytes(reading(), SMALL) == (4 + 4) * 3 * 43 * 7
    assert estimates.kept_bytes(both, SMALL) == 2 * (4 + 4) * 3 * 43 * 7
    assert estimates.passing_bytes(reading(), SMALL) == 4 * 3 * 43 * 10
    keeps = replace(both, keep_activations=True)
    assert estimates.kept_bytes(keeps, SMALL) == 2 * ((4 + 4) * 3 * 43 * 7 + 4 * 3 * 43 * 10)
    assert estimates.passing_bytes(keeps, SMALL) == 0
    assert estimates.kept_bytes(reading(), None) is None
    assert estimates.passing_bytes(reading(), None) is None


def test_sums_say_how_many_numbers_are_unknown() -> None:
    assert estimates.known_sum([1.5, None, 2.0, None]) == (3.5, 2)
    assert estimates.known_sum([]) == (0, 0)


def test_records_of_a_store_are_those_of_its_manifests(finished, tmp_path: Path) -> None:
    assert Records.of(Store(tmp_path / "none")) == NOTHING
    records = Records.of(Store(finished.store))
    assert len(records.tokens) == 9
    assert {(chat, most) for _, _, chat, most in records.tokens} == {(False, None)}
    assert {size.n_layers: size.width for size in records.sizes.values()} == {5: 26, 7: 22, 3: 34}
    assert {model for model, _ in records.speeds} == set(records.sizes)
    assert all(on_cpu for _, on_cpu in records.speeds)
    assert {len(speeds) for speeds in records.speeds.values()} == {3}
    assert all(speed > 0 for speeds in records.speeds.values() for speed in speeds)


def test_records_that_tell_nothing_are_left_out(tmp_path: Path) -> None:
    store = Store(tmp_path / "here")
    store.write(SPEEDS, "a", arrays={}, manifest=speed("a", 0, 5.0))
    store.write(SPEEDS, "b", arrays={}, manifest=speed("b", 5, 0.0))
    store.write(SPEEDS, "c", arrays={}, manifest=speed("c", 6, 2.0))
    store.write("neighbors", "d", arrays={}, manifest={"model_digest": "d"})
    (store.folder(SPEEDS, "c") / "junk").mkdir()
    records = Records.of(store)
    assert records.speeds == {("c", True): (3.0,)}
    assert records.tokens == {}


def test_what_another_kind_of_device_reached_does_not_tell_this_ones_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "here")
    store.write(SPEEDS, "a", arrays={}, manifest=speed("x", 10**9, 1.0, device="cuda:0", width=20))
    store.write(SPEEDS, "b", arrays={}, manifest=speed("x", 10, 1.0, device="cpu", width=20))
    records = Records.of(store)
    assert records.speeds == {("x", True): (10.0,), ("x", False): (1e9,)}
    own, other = replace(A, weights_digest="x"), replace(A, weights_digest="y")
    for on_cpu, reached in ((True, 10), (False, 10**9)):
        assert estimates.estimated_speed(own, LARGE, records, on_cpu=on_cpu) == reached
        assert estimates.estimated_speed(other, SMALL, records, on_cpu=on_cpu) == 4 * reached
    one_kind = replace(records, speeds={("x", False): (1e9,)})
    measured = 0.7 * estimates.product_rate() / (2 * LARGE.weights)
    assert estimates.estimated_speed(own, LARGE, one_kind, on_cpu=True) == pytest.approx(measured)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_models_are_read_by_the_processor_where_no_other_device_is_named_or_there(
    has_gpu: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    exists = Path.exists
    monkeypatch.setattr(
        Path, "exists", lambda self: has_gpu if str(self) == "/dev/nvidia0" else exists(self)
    )
    assert estimates.reads_on_cpu(LoadingOptions()) is not has_gpu
    assert estimates.reads_on_cpu(LoadingOptions(device="cpu"))
    assert not estimates.reads_on_cpu(LoadingOptions(device="cuda:1"))
    assert not estimates.reads_on_cpu(LoadingOptions(device_map="auto"))


def test_a_models_size_is_in_the_catalogue_in_its_files_or_in_records(gpt2_folder: Path) -> None:
    from isodepth.models import MODELS

    entry = MODELS["smollm2-135m-instruct"]
    known = resolve_model("smollm2-135m-instruct")
    assert estimates.model_size(known, NOTHING) == ModelSize(n_layers=entry.n_layers, width=entry.width)
    in_files = resolve_model(gpt2_folder)
    assert estimates.model_size(in_files, NOTHING) == ModelSize(n_layers=3, width=34)
    assert estimates.model_size(A, replace(NOTHING, sizes={A.digest: SMALL})) == SMALL
