"""The notation of names with options: what separates, what quotes hide, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.errors import ParameterError, UnknownNameError
from isodepth.notation import (
    imported_name,
    is_option,
    refuse_imported,
    split_arguments,
    unquoted,
    written_options,
)

TYPES: dict[str, type] = {"adapter": str, "dtype": str, "seed": int}
PLAIN = st.text("abc =./-_0123", min_size=1, max_size=7).filter(lambda text: bool(text.strip()))
ANY = st.text("ab,()= ", max_size=11)


@given(st.lists(PLAIN, min_size=1, max_size=5))
def test_commas_separate(parts: list[str]) -> None:
    assert split_arguments(",".join(parts)) == parts


@given(st.text("ab,()='\" ", max_size=17))
def test_splitting_loses_nothing(inside: str) -> None:
    parts = split_arguments(inside)
    assert parts == [] if not inside.strip() else ",".join(parts) == inside


@given(ANY, st.sampled_from("\"'"), PLAIN)
def test_what_stands_in_quotes_is_one_value_whatever_it_holds(
    value: str, quote: str, other: str
) -> None:
    parts = split_arguments(f"adapter={quote}{value}{quote}, dtype={other}")
    options = written_options("model", parts, TYPES)
    assert options == {"adapter": value, "dtype": other.strip()}


def test_the_other_kind_of_quote_is_a_character_inside_quotes() -> None:
    assert split_arguments("""a="it's, so", b='say ", or'""") == [
        """a="it's, so\"""",
        """ b='say ", or'""",
    ]


def test_commas_in_inner_parentheses_separate_nothing() -> None:
    assert split_arguments("x(a, b(c, d)), e") == ["x(a, b(c, d))", " e"]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("'a b'", "a b"),
        ('"a b"', "a b"),
        ("''", ""),
        ("'", "'"),
        ("'a\"", "'a\""),
        ("a'b'", "a'b'"),
        ("''a''", "'a'"),
        ("", ""),
    ],
)
def test_quotes_go_where_both_are_there(written: str, expected: str) -> None:
    assert unquoted(written) == expected


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ("dtype=bfloat16", True),
        (" dtype = bfloat16 ", True),
        ("dtype=", True),
        ("Dtype=x", False),
        ("bfloat16", False),
        ("4bit=x", False),
        ("./a=b", False),
        ("", False),
    ],
)
def test_an_option_is_a_name_in_small_letters_and_a_value(part: str, expected: bool) -> None:
    assert is_option(part) is expected


@given(st.integers(0, 10**15 - 1), st.booleans())
def test_values_have_the_type_that_is_stated(number: int, quoted: bool) -> None:
    value = f"'{number}'" if quoted else str(number)
    assert written_options("x", [f"seed={value}"], TYPES) == {"seed": number}
    assert written_options("x", [f"dtype={value}"], TYPES) == {"dtype": str(number)}


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e3", "seven", "1_000", "\u0663", "1" * 16])
def test_what_is_no_whole_number_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match="tiny: seed must be a whole number; got") as caught:
        written_options("tiny", [f"seed={value}"], TYPES)
    assert repr(value[:40]) in caught.value.message


@pytest.mark.parametrize("part", ["dtpe=x", "dtpe"])
def test_an_unknown_option_gets_the_nearest_one(part: str) -> None:
    with pytest.raises(ParameterError) as caught:
        written_options("tiny", [f" {part} "], TYPES)
    assert caught.value.message == f"tiny: {part!r} is no option of it; it has adapter, dtype, seed"
    assert caught.value.hint == "write dtype=..."


def test_an_option_like_no_other_is_told_how_options_are_written() -> None:
    with pytest.raises(ParameterError) as caught:
        written_options("tiny", ["./qqq,zzz"], TYPES)
    assert "options are written name=value" in str(caught.value.hint)
    assert "in quotes" in str(caught.value.hint)


def test_an_option_given_twice_is_refused_even_with_the_same_value() -> None:
    with pytest.raises(ParameterError, match="tiny: dtype is given twice"):
        written_options("tiny", ["dtype=x", " dtype=x"], TYPES)


@given(st.text("ab,()=' \"/", min_size=1, max_size=17).filter(lambda name: bool(name.strip())))
def test_what_stands_in_imported_is_the_name_whatever_it_holds(name: str) -> None:
    assert imported_name(f"imported({name})") == name.strip()
    with pytest.raises(UnknownNameError, match="stands for imported readings"):
        refuse_imported(f"imported({name})", "model")


@pytest.mark.parametrize(
    "name", ["", "gemma-2b", "imported", "imported()", "imported( )", "imported(a"]
)
def test_other_names_are_no_imported_ones(name: str) -> None:
    assert imported_name(name) is None
    refuse_imported(name, "model")
