import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfVectorizer

from isodepth.confounds import TEXT_BASELINES, character_n_grams, length, tf_idf

ODD = [
    "",
    " ",
    "a",
    "!!",
    "\u4f60\u597d\u4e16\u754c",
    "e\u0301",
    "\ud800",
    "the cat",
    "the cat",
    "\x00\n",
]


@pytest.mark.parametrize("name", TEXT_BASELINES)
@given(texts=st.lists(st.text(max_size=9) | st.sampled_from(ODD), min_size=2, max_size=7))
@settings(max_examples=20)
def test_any_texts_have_similarities(name: str, texts: list[str]):
    found = TEXT_BASELINES[name](texts)
    assert found.shape == (len(texts), len(texts))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found, found.T)
    for one, text in enumerate(texts):
        for other in range(one):
            if texts[other] == text:
                np.testing.assert_array_equal(found[:, other], found[:, one])


def test_words_in_common_make_texts_alike():
    found = tf_idf(["the cat sat", "The Cat sat!", "a dog", "..."])
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == 0
    assert found[3].tolist() == [0, 0, 0, 0]


def test_tf_idf_is_the_direct_formula():
    texts = ["aa bb aa", "bb cc", "cc cc dd aa"]
    terms = sorted({term for text in texts for term in text.split()})
    counts = np.array([[text.split().count(term) for term in terms] for text in texts], dtype=float)
    rarity = np.log((1 + 3) / (1 + (counts > 0).sum(axis=0))) + 1
    weighted = counts * rarity
    weighted /= np.linalg.norm(weighted, axis=1, keepdims=True)
    np.testing.assert_allclose(tf_idf(texts), weighted @ weighted.T, atol=1e-12)


def test_characters_see_what_words_do_not():
    texts = [
        "\u4eca\u5929\u5929\u6c14\u5f88\u597d",
        "\u4eca\u5929\u5929\u6c14\u4e0d\u597d",
        "unrelated",
    ]
    assert tf_idf(texts)[0, 1] == 0
    found = character_n_grams(texts)
    assert found[0, 1] > 0.1 > found[0, 2]


def test_characters_are_runs_of_three_to_five():
    texts = ["abcdef", "abcxyz", "qrabcq"]
    vectors = TfidfVectorizer(
        analyzer=lambda text: [text[i : i + n] for n in (3, 4, 5) for i in range(len(text) - n + 1)]
    ).fit_transform(texts)
    np.testing.assert_allclose(character_n_grams(texts), (vectors @ vectors.T).toarray(), atol=1e-12)


def test_length_compares_ratios():
    found = length(["x" * 9, "x" * 99, "x" * 999, ""])
    np.testing.assert_allclose(found[0], [0, -np.log(10), -np.log(100), -np.log(10)])
