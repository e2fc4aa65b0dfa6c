"""Massive activations: found where they were put, with the place where they were put."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

import tiny_models
from isodepth import Model, extract
from isodepth.activations.outliers import measured_outliers, token_norms
from isodepth.activations.pooling import Counted

LENGTHS = [5, 3, 7]
IDS = [np.arange(3, 3 + length) for length in LENGTHS]
TOKENIZER = tiny_models.tiny_tokenizer()


def test_norms_are_those_of_every_token_in_float32(rng: np.random.Generator) -> None:
    hidden = rng.normal(size=(2, 7, 11)).astype(np.float32)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.bfloat16, 1e-2)):
        found = token_norms(torch.from_numpy(hidden).to(dtype), Counted(torch.tensor([7, 3])))
        assert found.dtype == torch.float32
        expected = [[sum(unit**2 for unit in token) ** 0.5 for token in text] for text in hidden]
        np.testing.assert_allclose(found, expected, rtol=tolerance)


@pytest.mark.parametrize("seed", range(7))
def test_outliers_equal_a_slow_search_over_everything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_texts = 2 + seed % 4
    lengths = [int(length) for length in rng.integers(1, 12, n_texts)]
    vectors = rng.normal(size=(4, n_texts, 11)).astype(np.float32) ** 3
    norms = [rng.exponential(size=(4, length)).astype(np.float32) for length in lengths]
    ids = [rng.integers(3, 97, length) for length in lengths]
    found = measured_outliers(vectors, norms, ids, TOKENIZER)

    best = (0.0, 0, 0)
    for layer in range(4):
        shares = []
        for text in range(n_texts):
            squares = [float(unit) ** 2 for unit in vectors[layer, text]]
            unit = max(range(11), key=squares.__getitem__)
            shares.append((squares[unit] / sum(squares), unit + 1))
        share, unit = sorted(shares)[(n_texts - 1) // 2]
        best = max(best, (share, unit, layer + 1))
    assert found.unit_share == pytest.approx(best[0])
    assert (found.unit, found.unit_layer) == best[1:]

    token = max(
        (float(norms[text][layer, place] / np.median(norms[text][layer])), text, place, layer)
        for text in range(n_texts)
        for layer in range(4)
        for place in range(lengths[text])
    )
    assert found.token_norm_ratio == pytest.approx(token[0])
    assert (found.token_place, found.token_layer) == (token[2] + 1, token[3] + 1)
    assert found.token == tiny_models.VOCABULARY[ids[token[1]][token[2]]]

    sizes = np.linalg.norm(vectors.astype(np.float64), axis=2)
    ratios = [max(layer) / float(np.median(layer)) for layer in sizes]
    assert found.text_norm_ratio == pytest.approx(max(ratios))
    assert found.text_layer == ratios.index(max(ratios)) + 1


def test_vectors_of_zeros_give_finite_numbers() -> None:
    vectors = np.zeros((2, 3, 5), dtype=np.float32)
    norms = [np.zeros((2, length), dtype=np.float32) for length in LENGTHS]
    found = measured_outliers(vectors, norms, IDS, TOKENIZER)
    assert (found.unit_share, found.token_norm_ratio, found.text_norm_ratio) == (0, 0, 0)


def passing_embeddings_on(model: Model, embeddings: np.ndarray) -> None:
    """Let every block return its input, so that all layers hold the tokens' embeddings."""
    with torch.no_grad():
        model.body.embed_tokens.weight = torch.nn.Parameter(torch.from_numpy(embeddings))
        for block in model.blocks:
            for matrix in (block.self_attn.o_proj, block.mlp.down_proj):
                matrix.weight = torch.nn.Parameter(torch.zeros_like(matrix.weight))


def test_a_model_made_to_have_them_has_them_where_they_were_put(tiny: Callable[..., Model]) -> None:
    model = tiny("llama")
    embeddings = np.ones((tiny_models.N_TOKENS, 26), dtype=np.float32)
    embeddings[:, 10] = 5  # a unit that all tokens have: 25 of 50 in every vector's squared norm
    embeddings[tiny_models.VOCABULARY.index("w50")] *= 301
    passing_embeddings_on(model, embeddings)

    def added_in_block_4(module: torch.nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        return output + 10 * torch.nn.functional.one_hot(torch.tensor(16), 26)

    model.blocks[3].register_forward_hook(added_in_block_4)
    texts = ["w1 w2 w3", "w4 w5 w6 w50 w7", "w8 w9 w10 w11", "w12 w13"]
    outliers = extract(model, texts).provenance["contract"]["outliers"]
    # 24 ones, 5 and 11: unit 17 leads from block 4 on
    assert outliers["unit_share"] == pytest.approx(121 / (24 + 25 + 121))
    assert (outliers["unit"], outliers["unit_layer"]) == (17, 4)
    assert outliers["token_norm_ratio"] == pytest.approx(301, rel=1e-5)
    assert (outliers["token"], outliers["token_place"], outliers["token_layer"]) == ("w50", 5, 1)
    assert outliers["text_norm_ratio"] == pytest.approx(1)  # no text ends in it


def test_a_text_that_ends_in_a_massive_token_stands_out(tiny: Callable[..., Model]) -> None:
    model = tiny("llama")
    rng = np.random.default_rng(3)
    embeddings = rng.normal(size=(tiny_models.N_TOKENS, 26)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    embeddings[tiny_models.VOCABULARY.index("w50")] *= 301
    passing_embeddings_on(model, embeddings)
    texts = ["w1 w2 w3", "w4 w5 w6 w7 w50", "w8 w9 w10 w11", "w12 w13"]
    outliers = extract(model, texts).provenance["contract"]["outliers"]
    assert outliers["text_norm_ratio"] == pytest.approx(301, rel=1e-4)
    assert (outliers["token"], outliers["token_place"]) == ("w50", 6)
