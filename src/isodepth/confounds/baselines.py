"""How alike are texts to somebody who does not read them? Words, characters and length in common.

If models agree about which texts are near only because these share their words, that is no finding
about models. What is here reads texts alone.

>>> tf_idf(["the cat sat", "a cat sat down", "rain"]).round(2).tolist()
[[1.0, 0.54, 0.0], [0.54, 1.0, 0.0], [0.0, 0.0, 1.0]]

Memory: one array (texts, texts) in float64, 34 MB for 2,048 texts, and a sparse one of the words or
n-grams of each text.
"""

from collections.abc import Callable, Sequence

import numpy as np

from isodepth.confounds.similarities import TextSimilarities


def tf_idf(texts: Sequence[str]) -> TextSimilarities:
    """Return the cosines of texts' words, weighted by how rare these are, in [0, 1].

    Parameters
    ----------
    texts : sequence of str
        A word is a run of at least two letters or digits, in lower case. A text without any has
        similarity 0 to all others, and to itself. In languages that do not part words by spaces this
        says little; `character_n_grams` does better there.

    References
    ----------
    Salton & Buckley 1988; scikit-learn's TfidfVectorizer as it comes.
    """
    return _term_cosines(texts, analyzer="word")


def character_n_grams(texts: Sequence[str]) -> TextSimilarities:
    """Return the cosines of texts' runs of 3 to 5 characters, weighted by how rare they are, in [0, 1].

    Parameters
    ----------
    texts : sequence of str
        In lower case, white space as one space; runs go across words, punctuation and spaces count. A
        text of fewer than three characters has similarity 0 to all others, and to itself.

    References
    ----------
    Damashek 1995 (n-grams across words); scikit-learn's TfidfVectorizer with analyzer "char".
    """
    return _term_cosines(texts, analyzer="char", ngram_range=(3, 5))


def length(texts: Sequence[str]) -> TextSimilarities:
    """Return minus the difference of texts' log lengths, at most 0.

    Parameters
    ----------
    texts : sequence of str
        Length counts characters, plus 1, so that an empty text has a logarithm.
    """
    logs = np.log1p(np.array([len(text) for text in texts], dtype=np.float64))
    similarities: np.ndarray = -np.abs(np.subtract.outer(logs, logs))
    return similarities


TEXT_BASELINES: dict[str, Callable[[Sequence[str]], TextSimilarities]] = {
    "tf_idf": tf_idf,
    "character_n_grams": character_n_grams,
    "length": length,
}
"""What tells from the texts alone how similar they are, float64 (texts, texts), by name."""


def _term_cosines(
    texts: Sequence[str], *, analyzer: str, ngram_range: tuple[int, int] = (1, 1)
) -> TextSimilarities:
    """Return the cosines of texts' weighted terms; zeros where no text has any."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(analyzer=analyzer, ngram_range=ngram_range)
    find_terms = vectorizer.build_analyzer()
    if not any(find_terms(text) for text in texts):  # which scikit-learn refuses
        return np.zeros((len(texts), len(texts)))
    terms = vectorizer.fit_transform(texts)
    cosines: np.ndarray = (terms @ terms.T).toarray()
    return cosines
