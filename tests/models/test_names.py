"""Models as users write them: name, revision and options taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.errors import ParameterError
from isodepth.models.names import MODEL_OPTIONS, ModelName, model_name

WORD = st.text("abcdefgXYZ012.-_", min_size=1, max_size=9)
VALUE = st.text("ab ,()=@/.", max_size=9)
WORDS = sorted(key for key, kind in MODEL_OPTIONS.items() if kind is str)
OPTIONS = st.dictionaries(st.sampled_from(WORDS), VALUE, max_size=4)


@given(WORD, OPTIONS)
def test_a_name_with_options_is_read_as_it_was_written(name: str, options: dict[str, str]) -> None:
    inside = ", ".join(f'{key}="{value}"' for key, value in options.items())
    assert model_name(f"{name}({inside})") == ModelName(name=name, options=options)


@given(WORD, WORD, st.text("abcdef0123./-@", min_size=1, max_size=11))
def test_a_revision_stands_behind_an_at_or_as_an_option(owner: str, name: str, revision: str) -> None:
    expected = ModelName(name=f"{owner}/{name}", options={"revision": revision})
    assert model_name(f"{owner}/{name}@{revision}") == expected
    assert model_name(f"{owner}/{name}(revision={revision})") == expected


@pytest.mark.parametrize(
    "name",
    [
        "gemma-2-9b",
        "./folder",
        "../a/b/model.gguf",
        "/absolute/folder@v1",
        "owner/name",
        "name@main",
        "owner/name@",
        "a/b/c@main",
        "",
        "(",
        "folder (old",
    ],
)
def test_what_holds_neither_options_nor_a_revision_is_a_name(name: str) -> None:
    assert model_name(name) == ModelName(name=name)


def test_several_options_beside_a_revision() -> None:
    found = model_name(" owner/name@v1.3(dtype=bfloat16 , attention = 'eager') ")
    assert found.name == "owner/name"
    assert found.options == {"dtype": "bfloat16", "attention": "eager", "revision": "v1.3"}


def test_an_adapter_may_be_named_with_commas_and_equal_signs_in_quotes() -> None:
    found = model_name("""gemma-2b(adapter="./a, b=c (d)", dtype=float16)""")
    assert found.options == {"adapter": "./a, b=c (d)", "dtype": "float16"}


def test_a_revision_twice_is_refused_even_if_it_is_the_same() -> None:
    with pytest.raises(ParameterError) as caught:
        model_name("owner/name@main(revision=main)")
    assert caught.value.message == "owner/name@main(revision=main): the revision is given twice"


@pytest.mark.parametrize(
    ("written", "option", "nearest"),
    [
        ("gemma-2b(dtyp=bfloat16)", "dtyp=bfloat16", "dtype"),
        ("gemma-2b(dtype=float16, quantisation=4bit)", "quantisation=4bit", "quantization"),
        ("gemma-2b(adaptor=./x)", "adaptor=./x", "adapter"),
    ],
)
def test_an_unknown_option_gets_the_nearest_name(written: str, option: str, nearest: str) -> None:
    with pytest.raises(ParameterError, match="is no option of it") as caught:
        model_name(written)
    assert caught.value.message.startswith("gemma-2b: ")
    assert option.split("=")[0] in caught.value.message
    for known in MODEL_OPTIONS:
        assert known in caught.value.message
    assert caught.value.hint == f"write {nearest}=..."


def test_seeds_and_tokens_are_numbers() -> None:
    found = model_name("gemma-2b(untrained=007, batch_tokens=512, dtype=float16, adapter=./x)")
    assert found.options["untrained"] == "7"
    assert found.loading == {"untrained": 7, "batch_tokens": 512, "dtype": "float16"}


@pytest.mark.parametrize("option", ["untrained", "batch_tokens"])
@pytest.mark.parametrize("value", ["true", "-1", "0.5", ""])
def test_anything_else_than_a_number_is_refused_there(option: str, value: str) -> None:
    with pytest.raises(ParameterError) as caught:
        model_name(f"gemma-2b({option}={value})")
    assert caught.value.message == f"gemma-2b: {option} must be a whole number; got {value!r}"


def test_a_value_without_a_name_is_refused() -> None:
    with pytest.raises(ParameterError, match="gemma-2b: '4bit' is no option of it"):
        model_name("gemma-2b(4bit)")


def test_an_option_twice_is_refused() -> None:
    with pytest.raises(ParameterError, match="gemma-2b: dtype is given twice"):
        model_name("gemma-2b(dtype=float16, dtype=bfloat16)")


def test_code_and_devices_are_no_part_of_a_name() -> None:
    for option in ("trust_remote_code=True", "device=cuda", "device_map=auto"):
        with pytest.raises(ParameterError, match="is no option of it"):
            model_name(f"owner/name({option})")
