"""What exactly a model reads: special tokens, cuts, duplicates, batches."""

import numpy as np
import pytest

import tiny_models
from isodepth.activations.encoding import EncodedTexts, encode_texts, refuse_places_without_text
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
    assert report["special_tokens_at_end"] == ["</s>"] * eos
    assert report["special_tokens_at_end_are"] == "removed"
    assert (report["n_tokens_in_front"], result.n_in_front) == (bos, bos)
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


def test_texts_that_differ_only_in_what_is_cut_are_one_input() -> None:
    result = encoded(["w3 w4", "w3 w5", "w6 w4", "w3 w4"], limit=2)  # BOS and one word
    assert [rows.tolist() for rows in result.rows] == [[0, 1, 3], [2]]
    assert result.as_dict()["n_distinct_inputs"] == 2


def test_texts_that_are_all_the_same_to_the_model_are_refused() -> None:
    with pytest.raises(TextsError, match=r"tiny: all 3 texts are the same to the model after 1 tokens"):
        encoded(["w3", "w4 w5", "w6"], limit=1)


@pytest.mark.parametrize("bos", [False, True])
def test_what_is_appended_is_kept_where_it_is_asked_for(bos: bool) -> None:
    tokenizer = tiny_models.tiny_tokenizer(bos=bos, eos=True)
    result = encode_texts(TEXTS, tokenizer, limit=None, name="tiny", keeps_suffix=True)
    assert ids_of(result) == [[1] * bos + ids + [2] for ids in BARE]
    report = result.as_dict()
    assert (report["special_tokens_at_end"], report["special_tokens_at_end_are"]) == (["</s>"], "kept")
    assert (report["n_tokens_in_front"], report["n_distinct_last_tokens"]) == (bos, 1)
    assert report["most_frequent_last_token"] == "</s>"
    assert report["most_frequent_last_token_share"] == 1


def test_a_cut_text_keeps_what_is_appended_where_that_is_kept() -> None:
    texts = tiny_models.texts_of([2, 7, 3, 11])
    tokenizer = tiny_models.tiny_tokenizer(eos=True)
    result = encode_texts(texts, tokenizer, limit=5, name="tiny", keeps_suffix=True)
    whole = [tokenizer(text)["input_ids"] for text in texts]
    assert ids_of(result) == [ids if len(ids) <= 5 else [*ids[:4], 2] for ids in whole]
    assert result.truncated == (1, 3)
    with pytest.raises(TextsError) as caught:
        encode_texts(texts, tokenizer, limit=1, name="tiny", keeps_suffix=True)
    assert caught.value.message == (
        "tiny: 1 tokens leave no room for a text before the 1 tokens that the tokenizer ends in"
    )


def refuse(result: EncodedTexts, pooling: str | int) -> None:
    refuse_places_without_text(result, pooling, capture="block", is_causal=True, name="tiny")


def test_an_end_that_cannot_be_told_from_the_texts_own_is_refused_for_last_tokens_only() -> None:
    texts = ["w3 </s>", "w4 w5 </s>", "w6 w7 w8 </s>"]  # they spell it out
    for eos in (False, True):
        result = encoded(texts, eos=eos)
        assert (result.last_token, result.last_token_share) == ("</s>", 1)
        with pytest.raises(TextsError) as caught:
            refuse(result, "last")
        assert caught.value.message == (
            "tiny: its tokenizer ends all 3 texts in '</s>', in a way that isodepth cannot take back, "
            "so their last tokens are the same"
        )
        assert caught.value.hint == (
            "use --pooling mean, a tokenizer that does not append it (add_eos_token=false in its "
            "tokenizer_config.json), or texts that do not spell it out."
        )
        for pooling in ("mean", -2, 1):
            refuse(result, pooling)


def test_a_tokenizer_whose_appended_token_depends_on_the_text_is_refused() -> None:
    class Odd:
        """Appends EOS as tokenizers of SentencePiece may: the text's own tokens differ with it."""

        all_special_ids = (0, 1, 2)

        def __call__(self, texts: list[str], *, add_special_tokens: bool, **_: object) -> object:
            inner = [[3 + len(text), 11] for text in texts]
            return {"input_ids": [[*ids[:1], 12, 2] for ids in inner] if add_special_tokens else inner}

        def convert_ids_to_tokens(self, ids: object) -> object:
            if isinstance(ids, int):
                return "</s>" if ids == 2 else str(ids)
            return [str(one) for one in ids]  # type: ignore[attr-defined]

    texts = ["a", "bb", "ccc"]
    for limit in (None, 2):  # cutting some ends elsewhere does not hide how they ended
        result = encode_texts(texts, Odd(), limit=limit, name="tiny")
        assert (result.prefix, result.suffix) == ((), ())
        assert result.special_ending == "</s>"
        with pytest.raises(TextsError, match="tiny: its tokenizer ends all 3 texts in '</s>'"):
            refuse(result, "last")


@pytest.mark.parametrize(
    ("texts", "token", "share"),
    [
        (["w3 w4", "w5 w4", "w4", "w4 w3"], "w4", 3 / 4),
        (["w3 w4", "w5 w4", "w4"], "w4", 1),  # all alike, but the texts' own
        (["w3 </s>", "w5 </s>", "w4"], "</s>", 2 / 3),
        (["w3", "w5", "w5", "w6", "w5"], "w5", 3 / 5),  # every row of a copy counts
    ],
)
def test_the_most_frequent_last_token_is_reported_with_its_share_of_the_rows(
    texts: list[str], token: str, share: float
) -> None:
    result = encoded(texts)
    assert result.last_token == token
    assert result.last_token_share == pytest.approx(share)
    report = result.as_dict()
    assert report["most_frequent_last_token"] == token
    assert report["most_frequent_last_token_share"] == pytest.approx(share)
    refuse(result, "last")


def test_one_text_alone_is_equal_to_no_other() -> None:
    refuse(encoded(["w3 w4"]), "first")
    with pytest.raises(TextsError, match="has read the same of all 2 texts"):
        refuse(encoded(["w3 w4", "w5"]), "first")
