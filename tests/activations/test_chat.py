"""Texts as a user's turn: what transformers' own template gives, one text at a time, and nothing else."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiny_models
from isodepth import extract, load_model
from isodepth.activations.chat import chat_ids, refuse_no_template, template_frame, template_sha256
from isodepth.activations.encoding import EncodedTexts, encode_texts, refuse_places_without_text
from isodepth.errors import ModelError, TextsError
from tiny_models import CHAT_ENDING, CHAT_FRONT, chat_tokenizer, largest_relative_difference

TEXTS = ["w3 w4 w5", "  w10\n", "w6 w7\n\nw8", "w3 <end> w4", "a", "w9 7"]
LENGTHS = [3, 29, 7, 2, 13, 41, 5, 1, 19, 11]

Copied = Callable[[Path], Path]


def encoded(texts: list[str], tokenizer: Any = None, *, limit: int | None = None) -> EncodedTexts:
    return encode_texts(texts, tokenizer or chat_tokenizer(), limit=limit, name="tiny", chat=True)


def ids_of(result: EncodedTexts) -> list[list[int]]:
    return [ids.tolist() for ids in result.ids]


def words_of(ids: list[int]) -> list[str]:
    return [tiny_models.CHAT_VOCABULARY[token] for token in ids]


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("eos", [False, True])
def test_ids_are_those_of_the_template_one_text_at_a_time(bos: bool, eos: bool) -> None:
    tokenizer = chat_tokenizer(bos=bos, eos=eos)
    expected = [tiny_models.chat_ids(tokenizer, text) for text in TEXTS]
    assert chat_ids(TEXTS, tokenizer, name="tiny") == expected
    assert ids_of(encoded(TEXTS, tokenizer)) == expected
    assert words_of(expected[1]) == [*CHAT_FRONT, "w10", *CHAT_ENDING]


def test_the_bos_of_the_template_is_not_doubled_by_that_of_the_tokenizer() -> None:
    tokenizer = chat_tokenizer(bos=True)
    assert tokenizer("w3")["input_ids"][0] == tiny_models.BOS
    assert [ids.count(tiny_models.BOS) for ids in ids_of(encoded(TEXTS, tokenizer))] == [1] * len(TEXTS)


def test_a_template_without_bos_gets_none_from_the_tokenizer() -> None:
    tokenizer = chat_tokenizer(
        tiny_models.CHAT_TEMPLATE.removeprefix("{{ bos_token }}"), bos=True, eos=True
    )
    for ids in ids_of(encoded(TEXTS, tokenizer)):
        assert {tiny_models.BOS, tiny_models.EOS}.isdisjoint(ids)


def test_the_tokenizers_own_truncation_and_padding_do_not_apply_to_a_turn() -> None:
    tokenizer = chat_tokenizer()
    expected = [tiny_models.chat_ids(tokenizer, text) for text in TEXTS]
    tokenizer.model_max_length = 3
    tokenizer.backend_tokenizer.enable_padding(length=17)
    tokenizer.backend_tokenizer.enable_truncation(2)
    assert ids_of(encoded(TEXTS, tokenizer)) == expected


def test_texts_that_the_template_makes_equal_are_one_input_with_all_their_rows() -> None:
    result = encoded(["w3", " w3 ", "w4", "w3"])
    assert [rows.tolist() for rows in result.rows] == [[0, 1, 3], [2]]


def test_a_text_without_tokens_is_named_though_the_template_has_some() -> None:
    tokenizer = tiny_models.tiny_tokenizer(bos=False, unknown=False)
    tokenizer.chat_template = "w1 {{ messages[0].content }} w2"
    with pytest.raises(TextsError, match=r"^tiny: its tokenizer makes no tokens of text 2 \(rows"):
        encoded(["w3", "strange", "w4"], tokenizer)


def test_a_model_without_a_template_is_named_with_what_to_do() -> None:
    with pytest.raises(ModelError) as caught:
        encoded(TEXTS, tiny_models.tiny_tokenizer())
    assert caught.value.message == (
        "tiny has no chat template, so its texts cannot be wrapped as a user's turn"
    )
    assert caught.value.hint == (
        "leave --chat out, or use --chat-left or --chat-right for the model that has one."
    )
    refuse_no_template(True, "tiny")  # a template is there: nothing is raised


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("{{ raise_exception('no user turns here') }}", "no user turns here"),
        ("{% if %}", "Expected an expression"),
        ("{{ messages[0].content.nothing.at.all }}", "'str object' has no attribute 'nothing'"),
        ({"tool_use": "{{ messages[0].content }}"}, "default"),
    ],
)
def test_a_template_that_fails_is_the_models_error_in_its_own_words(template: Any, said: str) -> None:
    tokenizer = chat_tokenizer()
    tokenizer.chat_template = template
    with pytest.raises(ModelError) as caught:
        encoded(TEXTS, tokenizer)
    assert caught.value.message.startswith("tiny: its chat template cannot wrap the texts: ")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


@pytest.mark.parametrize(
    ("asks", "date"),
    [
        ("{{ strftime_now('%Y-%m-%d') }}", ["2025-01-01"]),
        ("{{ strftime_now('%d %b %Y') }}", ["01", "Jan", "2025"]),
        ("{{ date_string }}", ["01", "Jan", "2025"]),
        # as Llama 3.2 asks for it
        (
            "{% if not date_string is defined %}{% set date_string = strftime_now('%d %b %Y') %}"
            "{% endif %}{{ date_string }}",
            ["01", "Jan", "2025"],
        ),
    ],
)
def test_a_template_that_asks_for_the_date_gets_a_fixed_one(asks: str, date: list[str]) -> None:
    tokenizer = chat_tokenizer("system " + asks + " user {{ messages[0].content }}<end> assistant")
    result = encoded(TEXTS, tokenizer)
    for ids in ids_of(result):
        assert words_of(ids)[: len(date) + 2] == ["system", *date, "user"]
    assert result.as_dict()["chat_template"]["date"] == "2025-01-01"
    today = tiny_models.chat_ids(tokenizer, TEXTS[0])
    assert words_of(today)[1 : len(date) + 1] != date  # what it would have been told


@pytest.mark.parametrize(
    ("template", "ending"),
    [
        ("{{ messages[0].content }}<end> assistant", ["<end>", "assistant"]),
        ("user {{ messages[0].content }}", []),
        ("user {{ messages[0].content | trim }} assistant", ["assistant"]),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_the_frame_is_what_the_template_puts_in_front_of_the_text_and_behind_it(
    template: str, ending: list[str], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = chat_tokenizer(template)
    if not fast:
        monkeypatch.setattr(type(tokenizer), "is_fast", False)
    n_in_front, behind = template_frame(tokenizer, name="tiny")
    assert tokenizer.convert_ids_to_tokens(behind) == ending
    assert n_in_front == template.startswith("user")


def test_a_cut_text_loses_its_own_end_and_keeps_all_of_the_template() -> None:
    texts = tiny_models.texts_of([2, 7, 3, 11, 4, 5])
    tokenizer = chat_tokenizer()
    whole = [tiny_models.chat_ids(tokenizer, text) for text in texts]
    limit = len(CHAT_FRONT) + 4 + len(CHAT_ENDING)  # four words of the text
    result = encoded(texts, tokenizer, limit=limit)
    for ids, full in zip(ids_of(result), whole, strict=True):
        own = full[len(CHAT_FRONT) : -len(CHAT_ENDING)]
        assert ids == [*full[: len(CHAT_FRONT)], *own[:4], *full[-len(CHAT_ENDING) :]]
    assert result.truncated == (1, 3, 5)
    report = result.as_dict()
    assert (report["n_truncated"], report["truncated_rows"]) == (3, [2, 4, 6])
    assert (report["longest_text_tokens"], report["n_distinct_last_tokens"]) == (limit, 1)


def test_a_cut_turn_ends_in_the_template_also_where_the_tokenizer_knows_no_latin_letter() -> None:
    # "a" and "7", which tell the text from the template, are the same unknown token here
    tokenizer = tiny_models.tiny_tokenizer()
    tokenizer.chat_template = "{{ bos_token }} w1 {{ messages[0].content }} w2"
    assert tokenizer("a")["input_ids"] == tokenizer("7")["input_ids"]
    texts = tiny_models.texts_of([7, 11])
    first = tiny_models.chat_ids(tokenizer, texts[0])
    result = encoded(texts, tokenizer, limit=6)  # BOS, w1, three words, w2
    assert result.as_dict()["chat_template"]["tokens_behind_the_text"] == ["w2"]
    assert ids_of(result)[0] == [*first[:5], first[-1]]


@pytest.mark.parametrize("limit", [1, 2])
def test_a_limit_below_the_end_of_the_template_is_refused_with_both_numbers(limit: int) -> None:
    with pytest.raises(TextsError) as caught:
        encoded(TEXTS, limit=limit)
    assert caught.value.message == (
        f"tiny: {limit} tokens leave no room for a text before the 2 tokens that the chat template "
        "ends in"
    )


@pytest.mark.parametrize("limit", [3, 5, 7])
def test_a_limit_that_only_the_template_fits_in_is_refused(limit: int) -> None:
    with pytest.raises(TextsError, match=f"all 6 texts are the same to the model after {limit} tokens"):
        encoded(TEXTS, limit=limit)
    assert len(encoded(TEXTS, limit=8).ids) > 1  # one word of each text


def test_what_was_wrapped_around_the_texts_is_recorded() -> None:
    result = encoded(TEXTS)
    report = result.as_dict()
    assert report["chat_template"] == {
        "sha256": hashlib.sha256(tiny_models.CHAT_TEMPLATE.encode()).hexdigest(),
        "tokens_behind_the_text": CHAT_ENDING,
        "date": "2025-01-01",
    }
    assert report["n_distinct_last_tokens"] == 1
    assert report["special_tokens_at_end"] == []
    assert template_sha256(chat_tokenizer("other")) != template_sha256(chat_tokenizer())
    plain = encode_texts(TEXTS, chat_tokenizer(), limit=None, name="tiny")
    assert plain.as_dict()["chat_template"] is None


@pytest.mark.parametrize("pooling", ["last", "mean"])
def test_activations_equal_a_slow_pass_over_the_templates_ids(pooling: str, chat_folder: Path) -> None:
    texts = tiny_models.texts_of(LENGTHS, seed=31)
    slow = tiny_models.slow_hidden_states(chat_folder, texts, chat=True)
    front = len(CHAT_FRONT)  # the mean leaves it out, and keeps what is behind the text
    pooled = [one[:, -1] if pooling == "last" else one[:, front:].mean(axis=1) for one in slow]
    found = extract(chat_folder, texts, capture="final_norm", pooling=pooling, chat=True)
    assert found.options.chat
    assert found.provenance["encoding"]["n_tokens_in_front"] == front
    assert largest_relative_difference(found.values, np.stack(pooled, axis=1)) < 1e-5
    plain = extract(chat_folder, texts, capture="final_norm", pooling=pooling)
    assert largest_relative_difference(found.values, plain.values) > 0.1


def test_the_last_token_is_the_same_for_all_texts_and_their_activations_differ(
    chat_folder: Path,
) -> None:
    texts = tiny_models.texts_of(LENGTHS, seed=37)
    found = extract(load_model(chat_folder), texts, chat=True)
    encoding = found.provenance["encoding"]
    assert encoding["n_distinct_last_tokens"] == 1
    assert encoding["chat_template"]["tokens_behind_the_text"][-1] == "assistant"
    for layer in found.values:
        distances = np.linalg.norm(layer[:, None] - layer[None], axis=-1)
        others = distances[~np.eye(len(texts), dtype=bool)]
        assert others.min() > 1e-3 * np.linalg.norm(layer, axis=1).max()


def test_a_model_without_template_is_named_by_extract(llama_folder: Path) -> None:
    with pytest.raises(ModelError, match=r"^tiny-llama has no chat template"):
        extract(llama_folder, TEXTS, chat=True)


def test_turns_longer_than_the_context_are_cut_to_it_and_keep_their_ending(chat_folder: Path) -> None:
    model = load_model(chat_folder)
    assert model.context_length == 211
    found = extract(model, tiny_models.texts_of([204, 205, 3, 230]), chat=True)  # 7 of the template
    encoding = found.provenance["encoding"]
    assert (encoding["truncated_rows"], encoding["max_tokens"]) == ([2, 4], 211)
    assert encoding["n_distinct_last_tokens"] == 1


def test_a_tokenizer_that_ends_texts_in_eos_does_not_end_turns_so_and_last_tokens_are_read(
    chat_folder: Path, copied: Copied
) -> None:
    folder = copied(chat_folder)
    chat_tokenizer(eos=True).save_pretrained(folder)
    texts = tiny_models.texts_of(LENGTHS, seed=43)
    found = extract(folder, texts, chat=True)
    np.testing.assert_array_equal(found.values, extract(chat_folder, texts, chat=True).values)
    assert found.provenance["encoding"]["special_tokens_at_end"] == []


def test_a_template_that_ends_all_texts_in_a_special_token_is_no_appended_eos() -> None:
    tokenizer = chat_tokenizer("{{ bos_token }}user {{ messages[0].content }}<end>")
    result = encoded(TEXTS, tokenizer)
    assert (result.last_token, result.last_token_share) == ("<end>", 1)
    assert result.last_token_share == 1
    refuse_places_without_text(result, "last", capture="block", is_causal=True, name="tiny")


def test_the_embedding_of_a_templates_last_token_is_the_same_for_all_and_refused(
    chat_folder: Path,
) -> None:
    with pytest.raises(TextsError, match="at pooling 'last' the model has read the same of all 10"):
        extract(chat_folder, tiny_models.texts_of(LENGTHS), chat=True, capture="embedding")


def test_places_in_front_of_the_text_are_refused_and_those_behind_are_read(chat_folder: Path) -> None:
    model = load_model(chat_folder)
    texts = tiny_models.texts_of(LENGTHS, seed=47)
    slow = tiny_models.slow_hidden_states(chat_folder, texts, chat=True)
    for place in range(len(CHAT_FRONT)):
        with pytest.raises(TextsError, match="has read the same of all 10 texts"):
            extract(model, texts, chat=True, pooling=place)
    for place in (len(CHAT_FRONT), -2, -len(CHAT_ENDING) - 1):
        found = extract(model, texts, chat=True, pooling=place, capture="final_norm").values
        expected = np.stack([states[:, place] for states in slow], axis=1)
        assert largest_relative_difference(found, expected) < 1e-5
