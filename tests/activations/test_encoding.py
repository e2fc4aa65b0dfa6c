"""What exactly a model reads: special tokens, cuts, duplicates, batches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny_models
from isodepth.activations.encoding import EncodedTexts, encode_texts, length_sorted_batches
from isodepth.errors import TextsError

TEXTS = ["w3 w4 w5", "w10", "w6 w7"]
BARE = [[6, 7, 8], [13], [9, 10]]


def encoded(texts: list[str], *, limit: int | None = None, **tokenizer: bool) -> EncodedTexts:
    return encode_texts(texts, tiny_models.tiny_tokenizer(**tokenizer), limit=limit, name="tiny")


def ids_of(result: EncodedTexts) -> list[list[int]]:
    return [ids.tolist() for ids in result.ids]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
def test_bos_is_kept_and_an_appended_eos_is_removed_and_both_are_reported(bos: bool, eos: bool) -> None:
    result = encoded(TEXTS, bos=bos, eos=eos)
    assert ids_of(result) == [[tiny_models.BOS] * bos + ids for ids in BARE]
    assert result.prefix == ("<s>",) * bos
    assert result.suffix == ("</s>",) * eos
    report = result.as_dict()
    assert report["special_tokens_in_front"] == ["<s>"] * bos
    assert report["special_tokens_removed_from_end"] == ["</s>"] * eos
    assert report["n_distinct_last_tokens"] == 3
    assert report["n_tokens"] == 6 + 3 * bos


def test_an_eos_that_is_part_of_the_text_stays() -> None:
    result = encoded(["w3", "w4 </s>", "</s>"], eos=True)
    assert ids_of(result) == [[1, 6], [1, 7, 2], [1, 2]]


@pytest.mark.parametrize("first", ["<s> w3", "<s>", "</s> w3", "w3 </s>", "</s>"])
def test_special_tokens_written_in_the_first_text_do_not_change_what_is_removed(first: str) -> None:
    result = encoded([first, "w4 w5"], eos=True)
    assert ids_of(result)[1] == [1, 7, 8]
    bare = tiny_models.tiny_tokenizer(bos=False)(first)["input_ids"]
    assert ids_of(result)[0] == [1, *bare]
    assert (result.prefix, result.suffix) == (("<s>",), ("</s>",))


def test_without_limit_nothing_is_cut() -> None:
    result = encoded(TEXTS)
    assert (result.limit, result.truncated) == (None, ())
    assert result.as_dict()["n_truncated"] == 0
    assert result.as_dict()["max_tokens"] is None


@pytest.mark.parametrize("eos", [False, True])
def test_texts_over_the_limit_lose_their_end_and_their_rows_are_reported(eos: bool) -> None:
    texts = tiny_models.texts_of([2, 7, 3, 11, 4, 5])
    whole = ids_of(encoded(texts, eos=eos))
    result = encoded(texts, limit=5, eos=eos)  # BOS and four words
    assert ids_of(result) == [ids[:5] for ids in whole]
    assert result.truncated == (1, 3, 5)
    report = result.as_dict()
    assert report["n_truncated"] == 3
    assert report["truncated_rows"] == [2, 4, 6]
    assert report["max_tokens"] == 5
    assert report["longest_text_tokens"] == 5
    assert len(ids_of(result)[4]) == 5  # exactly the limit is not a cut


def test_every_row_of_a_cut_duplicate_is_reported_in_order() -> None:
    long, other, short = tiny_models.texts_of([7, 11, 2])
    result = encoded([long, short, other, long], limit=5)
    assert result.truncated == (0, 2, 3)


def test_duplicates_are_encoded_once_and_keep_all_their_rows() -> None:
    texts = ["w3", "w4", "w3", "w5", "w4", "w3"]
    result = encoded(texts)
    assert ids_of(result) == [[1, 6], [1, 7], [1, 8]]
    assert [rows.tolist() for rows in result.rows] == [[0, 2, 5], [1, 4], [3]]
    assert result.n_texts == 6
    report = result.as_dict()
    assert (report["n_texts"], report["n_distinct_inputs"], report["n_tokens"]) == (6, 3, 6)


def test_ids_and_rows_are_int64() -> None:
    result = encoded(TEXTS)
    assert {array.dtype for array in (*result.ids, *result.rows, result.lengths)} == {np.dtype("int64")}
    assert result.lengths.tolist() == [4, 2, 3]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
@pytest.mark.parametrize("rows", [[2], [3, 5], [1], [1, 2]])
def test_texts_without_tokens_are_named_even_where_special_tokens_remain(
    rows: list[int], bos: bool, eos: bool
) -> None:
    texts = tiny_models.texts_of([3, 5, 2, 7, 4])
    for row in rows:
        texts[row - 1] = f"strange{row}"
    with pytest.raises(TextsError, match="its tokenizer makes no tokens of text") as caught:
        encoded(texts, bos=bos, eos=eos, unknown=False)
    shown = ", ".join(str(row) for row in rows)
    assert caught.value.message.startswith("tiny: ")
    assert f"no tokens of text {shown} (rows count from 1)" in caught.value.message
    assert "remove these rows" in str(caught.value.hint)


def test_all_rows_of_a_duplicated_text_without_tokens_are_named() -> None:
    with pytest.raises(TextsError, match=r"no tokens of text 1, 3, 4 \(rows count from 1\)"):
        encoded(["strange", "w3", "strange", "odd"], bos=False, unknown=False)


def test_the_tokenizers_own_truncation_and_padding_do_not_apply() -> None:
    tokenizer = tiny_models.tiny_tokenizer()
    tokenizer.model_max_length = 3
    tokenizer.padding_side = "left"
    tokenizer.backend_tokenizer.enable_padding(length=17)
    tokenizer.backend_tokenizer.enable_truncation(2)
    result = encode_texts(TEXTS, tokenizer, limit=None, name="tiny")
    assert ids_of(result) == [[1, *ids] for ids in BARE]


lengths_lists = st.lists(st.integers(1, 97), min_size=1, max_size=61)


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_batches_are_a_partition_within_the_budget_and_sorted(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(array, token_budget=token_budget)
    flat = np.concatenate(batches)
    assert sorted(flat.tolist()) == list(range(len(lengths)))
    assert (np.diff(array[flat]) <= 0).all()
    for batch in batches:
        assert len(batch) >= 1
        assert len(batch) == 1 or len(batch) * array[batch].max() <= token_budget


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_a_batch_ends_only_where_one_more_text_would_not_fit(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    batches = length_sorted_batches(array, token_budget=token_budget)
    for batch in batches[:-1]:
        assert (len(batch) + 1) * array[batch].max() > token_budget


@given(lengths=lengths_lists, token_budget=st.integers(1, 331))
def test_batches_are_the_same_on_every_call_and_equal_lengths_keep_their_order(
    lengths: list[int], token_budget: int
) -> None:
    array = np.array(lengths, dtype=np.int64)
    one, two = (length_sorted_batches(array, token_budget=token_budget) for _ in range(2))
    assert [batch.tolist() for batch in one] == [batch.tolist() for batch in two]
    flat = np.concatenate(one).tolist()
    assert flat == sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))


def test_texts_that_differ_only_in_what_is_cut_are_one_input() -> None:
    result = encoded(["w3 w4", "w3 w5", "w6 w4", "w3 w4"], limit=2)  # BOS and one word
    assert [rows.tolist() for rows in result.rows] == [[0, 1, 3], [2]]
    assert result.as_dict()["n_distinct_inputs"] == 2


def test_texts_that_are_all_the_same_to_the_model_are_refused() -> None:
    with pytest.raises(TextsError, match=r"tiny: all 3 texts are the same to the model after 1 tokens"):
        encoded(["w3", "w4 w5", "w6"], limit=1)
