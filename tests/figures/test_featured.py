import numpy as np
import pytest

from isodepth.affinity import AffinityMatrices
from isodepth.assessment import AssessmentOptions, StudyAssessment, assess_text_set
from isodepth.errors import UnknownNameError
from isodepth.figures.featured import (
    base_of,
    copies_of_models,
    featured_pairs,
    is_random,
    is_tuned_from,
    known_pairs,
)
from isodepth.models.options import LoadingOptions
from isodepth.models.resolution import model_label
from isodepth.results import MatrixKind, TextSetResults

pytestmark = pytest.mark.usefixtures("no_collections")


def matrices(*labels: str, is_symmetric: bool = True) -> AffinityMatrices:
    """Return matrices of models of two layers, of which later ones have a weaker diagonal."""
    diagonal = np.linspace(0.9, 0.3, len(labels) ** 2).reshape(len(labels), len(labels))
    values = np.kron(np.minimum(diagonal, diagonal.T), np.eye(2)) + 0.01
    return AffinityMatrices(
        values=values,
        left=labels,
        right=labels,
        left_layers=(2,) * len(labels),
        right_layers=(2,) * len(labels),
        is_symmetric=is_symmetric,
        measure="mutual_knn",
        k=5,
        n_texts=61,
        texts_digest=None if is_symmetric else "a",
        right_texts_digest=None if is_symmetric else "b",
    )


def study(*sets: AffinityMatrices) -> StudyAssessment:
    kind, options = MatrixKind("mutual_knn", 5), AssessmentOptions(n_permutations=19, n_resamples=100)
    return StudyAssessment(
        name="study",
        options=options,
        sets=tuple(
            assess_text_set(f"set {place}", kind, one, options=options)
            for place, one in enumerate(sets)
        ),
    )


# which pairs


def test_the_papers_pairs_come_first_then_tuned_ones_then_three_by_rank() -> None:
    listed = ("gemma-2-9b", "llama-3.1-8b", "llama-3.1-70b", "mistral-7b-v0.3", "gemma-2-9b-it")
    chosen = featured_pairs(study(matrices(*listed)))
    assert chosen[:3] == (
        ("gemma-2-9b", "llama-3.1-8b"),  # which has the strongest diagonal too
        ("llama-3.1-70b", "mistral-7b-v0.3"),
        ("gemma-2-9b", "gemma-2-9b-it"),
    )
    assert len(chosen) == 5
    assert chosen[-1] == ("mistral-7b-v0.3", "gemma-2-9b-it")  # the weakest


def test_pairs_by_rank_are_those_of_the_first_text_set_that_is_not_parallel() -> None:
    parallel, plain = matrices("b", "a", is_symmetric=False), matrices("d", "e", "f")
    assert featured_pairs(study(parallel, plain)) == (("d", "e"), ("d", "f"), ("e", "f"), ("b", "b"))
    assert featured_pairs(study(parallel))[0] == ("b", "b")
    assert featured_pairs(study()) == ()


def test_models_of_one_layer_have_a_pair_too() -> None:
    flat = AffinityMatrices(
        values=np.array([[1.0, 0.3], [0.3, 1.0]]),
        left=("a", "b"),
        right=("a", "b"),
        left_layers=(1, 1),
        right_layers=(1, 1),
        is_symmetric=True,
        measure="mutual_knn",
        k=5,
        n_texts=61,
    )
    assert featured_pairs(study(flat)) == (("a", "b"),)


def test_wanted_pairs_are_found_in_either_order_and_each_once() -> None:
    known = [("a", "b"), ("a", "c"), ("b", "c"), ("c", "a")]
    assert known_pairs([("c", "b"), ("a", "c"), ("b", "c")], known) == (
        ("b", "c"),
        ("a", "c"),
        ("c", "a"),
    )
    assert featured_pairs(study(matrices("a", "b", "c")), [("c", "b")]) == (("b", "c"),)


def test_pairs_that_are_nowhere_are_all_named_with_the_nearest_labels() -> None:
    known = [("gemma", "llama"), ("llama", "falcon")]
    with pytest.raises(UnknownNameError) as caught:
        known_pairs([("gemma", "llama"), ("lama", "falcon"), ("gemma", "falcon"), ("lama", "x")], known)
    assert caught.value.message == "no matrices are of 'lama', 'gemma,falcon', 'x'"
    assert caught.value.hint is not None
    assert caught.value.hint.startswith("did you mean llama")
    with pytest.raises(UnknownNameError) as caught:
        known_pairs([("zzz", "qqq")], known)
    assert caught.value.hint == "there are falcon, gemma, llama."


# names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gemma-2-9b", "gemma-2-9b-it"),
        ("llama-3.1-8b-instruct", "llama-3.1-8b"),
        ("mistral-7b-v0.3", "mistral-7b-instruct-v0.3"),
        ("google/gemma-3-1b-pt", "google/gemma-3-1b-it"),
        ("Mistral-Nemo-Base-2407", "Mistral-Nemo-Instruct-2407"),
        ("gemma-2-9b", "gemma-2-9b + lora"),
        ("gemma-2-9b-it", "gemma-2-9b-it + lora (bfloat16)"),
        ("gemma-2-9b", "gemma-2-9b-it as chat"),
    ],
)
def test_a_tuned_model_is_known_by_its_name(one: str, other: str) -> None:
    assert is_tuned_from(one, other)
    assert is_tuned_from(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gemma-2-9b", "gemma-2-9b"),
        ("gemma-2-9b", "gemma-2-2b-it"),
        ("gemma-2-9b", "gemma-2-9b (bfloat16)"),
        ("gemma-2-9b-it", "gemma-2-9b + lora"),
        ("gemma-2-9b-it", "gemma-2-9b-it as chat"),
        ("split-9b", "spl-9b"),
        ("m + one", "m + other"),
        ("gemma-2-9b-it", "gemma-2-9b (untrained, seed 0)"),
    ],
)
def test_other_pairs_are_not(one: str, other: str) -> None:
    assert not is_tuned_from(one, other)


def test_the_base_of_a_name_keeps_what_tells_models_apart() -> None:
    assert base_of("meta-llama/Llama-3.1-8B-Instruct (4bit)") == "meta-llama/Llama-3.1-8B"
    assert base_of("itty-bitty") == "itty-bitty"


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("noise", "generated", True),
        ("random-strings", None, True),
        ("Random_Strings of mine", "file", True),
        ("noise", "file", False),
        ("web-text", None, False),
    ],
)
def test_random_strings_are_known_by_origin_or_name(
    name: str, source: str | None, expected: bool
) -> None:
    description = {} if source is None else {"texts": {"provenance": {"source": source}}}
    assert is_random(TextSetResults(name=name, matrices={}, description=description)) == expected


# copies


def test_copies_are_one_model_read_otherwise() -> None:
    labels = ("m (bfloat16)", "other", "m", "m (4bit, eager attention, batches of 256 tokens)")
    others = ("m + lora", "m (untrained, seed 0)", "m (1)", "m as chat")
    found = copies_of_models(matrices(*labels, *others))
    assert list(found) == ["m"]
    copies, rest = found["m"]
    assert [(one.left, one.right) for one in copies] == [("m", labels[0]), ("m", labels[3])]
    assert [one.right for one in rest] == ["other", *others]


def test_labels_are_those_that_models_get() -> None:
    ways = [
        LoadingOptions(dtype="bfloat16"),
        LoadingOptions(quantization="8bit", attention="eager"),
        LoadingOptions(batch_tokens=1),
    ]
    labels = [model_label("m", None, way) for way in ways]
    copies, _ = copies_of_models(matrices("m", *labels))["m"]
    assert [one.right for one in copies] == labels
    assert copies_of_models(matrices("m", model_label("m", None, LoadingOptions(untrained=3)))) == {}
    assert is_tuned_from("m", model_label("m", "lora", LoadingOptions()))


def test_without_the_plain_label_the_first_stands_for_the_model() -> None:
    labels = ("m (bfloat16)", "m (float16)")
    assert list(copies_of_models(matrices(*labels))) == ["m (bfloat16)"]
    assert copies_of_models(matrices(*labels, is_symmetric=False)) == {}
    assert copies_of_models(matrices("one", "other")) == {}
