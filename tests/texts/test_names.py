"""What a user may write for a text set: every form, and every way to get one wrong."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isodepth.errors import IsodepthError, ParameterError, UnknownNameError
from isodepth.texts import CONTROLS, load_texts
from isodepth.texts.names import ControlName, HubName, RandomStringsName, taken_apart


def control(name: str, whole: str, **options: str | int) -> ControlName:
    return ControlName(control=name, whole=whole, options=options)


@pytest.mark.parametrize(
    "written",
    ["news", "reviews.csv", "./folder", "-", "", "a b", "x(y).txt", "Caesar", "random", "caesar.txt"],
)
def test_plain_names_and_paths_must_be_looked_up(written: str):
    assert taken_apart(written) is None


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("caesar(news)", control("caesar", "news")),
        ("caesar(news, seed=7)", control("caesar", "news", seed=7)),
        (" caesar( news ,seed = 7 ) ", control("caesar", "news", seed=7)),
        (
            "caesar(news,characters=letters,seed=007)",
            control("caesar", "news", characters="letters", seed=7),
        ),
        ("shuffled-words(./a b.txt)", control("shuffled-words", "./a b.txt")),
        ("shuffled-sentences(-, seed=0)", control("shuffled-sentences", "-", seed=0)),
        ("truncated-to-32-tokens(x)", control("truncated-to-n-tokens", "x", n=32)),
        ("truncated-to-n-tokens(x, n=32)", control("truncated-to-n-tokens", "x", n=32)),
        (
            "truncated-to-5-tokens(x, tokenizer=./my model)",
            control("truncated-to-n-tokens", "x", n=5, tokenizer="./my model"),
        ),
        ("same-ending(news, ending=Bye.)", control("same-ending", "news", ending="Bye.")),
        (
            'same-ending(news, ending="Bye, all (really). It\'s = it.")',
            control("same-ending", "news", ending="Bye, all (really). It's = it."),
        ),
        (
            "same-ending(news, ending='Say \"no\", then')",
            control("same-ending", "news", ending='Say "no", then'),
        ),
        ("same-ending(news, ending=' kept ')", control("same-ending", "news", ending=" kept ")),
        ("same-ending(news, ending=a=b)", control("same-ending", "news", ending="a=b")),
        ('caesar("a, b (1).txt", seed=3)', control("caesar", "a, b (1).txt", seed=3)),
        ("caesar('a)(b')", control("caesar", "a)(b")),
        ("caesar(a (1), seed=3)", control("caesar", "a (1)", seed=3)),
        (
            "caesar(shuffled-words(news, seed=3), seed=7)",
            control("caesar", "shuffled-words(news, seed=3)", seed=7),
        ),
        (
            "caesar(hf:owner/name@main/en:test[:10]:text)",
            control("caesar", "hf:owner/name@main/en:test[:10]:text"),
        ),
        ("caesar(./seed=7)", control("caesar", "./seed=7")),
    ],
)
def test_controls_have_a_set_and_options(written: str, expected: ControlName):
    assert taken_apart(written) == expected


@pytest.mark.parametrize(
    ("written", "options"),
    [
        ("random-strings", {}),
        ("random-strings()", {}),
        ("random-strings( )", {}),
        ("random-strings(length=50)", {"length": 50}),
        (
            'random-strings(seed=3, alphabet="a, (b")',
            {"seed": 3, "alphabet": "a, (b"},
        ),
        ("random-strings(alphabet= ab )", {"alphabet": "ab"}),
        ("random-strings(alphabet=' ab')", {"alphabet": " ab"}),
    ],
)
def test_random_strings_have_options_alone(written: str, options: dict[str, str | int]):
    assert taken_apart(written) == RandomStringsName(options=options)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("hf:owner/name", HubName(repository="owner/name")),
        ("hf:owner/name:test", HubName(repository="owner/name", split="test")),
        (
            "hf:owner/name:test:text",
            HubName(repository="owner/name", split="test", column="text"),
        ),
        (
            "hf:owner/name/de-en:train:translation.en",
            HubName(repository="owner/name", config="de-en", split="train", column="translation.en"),
        ),
        (
            "hf:owner/na.me@v1.0/20231101.en:train[10%:20%]:a b",
            HubName(
                repository="owner/na.me",
                revision="v1.0",
                config="20231101.en",
                split="train[10%:20%]",
                column="a b",
            ),
        ),
        (
            "hf:owner/name:test[:100]",
            HubName(repository="owner/name", split="test[:100]"),
        ),
        ("hf:./folder", HubName(repository="./folder")),
        (
            "hf:./fol der/sub:train[2:]:text",
            HubName(repository="./fol der/sub", split="train[2:]", column="text"),
        ),
        ("hf:/abs/folder:train", HubName(repository="/abs/folder", split="train")),
        ("hf:~/folder", HubName(repository="~/folder")),
        ("hf:../folder", HubName(repository="../folder")),
        ("hf:/", HubName(repository="/")),
    ],
)
def test_hub_names_have_a_revision_a_configuration_a_split_and_a_column(
    written: str, expected: HubName
):
    assert taken_apart(written) == expected


@pytest.mark.parametrize(
    "written",
    [
        "hf:",
        "hf:name",
        "hf:owner/",
        "hf:owner/name/",
        "hf:owner/name/config/more",
        "hf:owner/name@",
        "hf:owner/name:",
        "hf:owner/name:split:",
        "hf: owner/name",
        "hf:owner/na me",
        "hf:owner/name:test[:100",
        "hf:owner/name::text",
        "hf:owner/name:te]st",
    ],
)
def test_malformed_hub_names_are_errors_with_the_form(written: str):
    with pytest.raises(ParameterError) as caught:
        taken_apart(written)
    assert caught.value.message == (
        f"{written}: expected hf:owner/name[@revision][/config][:split][:column]"
    )
    assert caught.value.hint == "for example hf:stanfordnlp/imdb:test:text."


@pytest.mark.parametrize("written", ["caesar", "same-ending", "truncated-to-32-tokens"])
def test_a_control_without_a_set_is_an_error_with_an_example(written: str):
    with pytest.raises(ParameterError) as caught:
        taken_apart(written)
    assert caught.value.message == f"{written} is made from another text set"
    assert caught.value.hint == f"write {written}(news), say."


@pytest.mark.parametrize("inside", ["", "  ", "seed=7", " , seed=7", "characters=letters, seed=7"])
def test_a_control_with_options_alone_is_an_error_with_an_example(inside: str):
    written = f"caesar({inside})"
    with pytest.raises(ParameterError) as caught:
        taken_apart(written)
    assert caught.value.message == (
        f"{written}: expected a text set as the first thing in the parentheses"
    )
    assert caught.value.hint == "write caesar(news), say."


def test_an_unknown_control_is_an_error_with_the_known_ones():
    with pytest.raises(UnknownNameError) as caught:
        taken_apart("ceasar(news)")
    assert caught.value.message == (
        f"there is no control 'ceasar'; controls: {', '.join([*CONTROLS, 'random-strings'])}"
    )
    assert caught.value.hint == "did you mean caesar?"
    with pytest.raises(UnknownNameError) as caught:
        taken_apart("zzz(news)")
    assert caught.value.hint == "for a file of that name: ./NAME."


@pytest.mark.parametrize(
    ("written", "message", "hint"),
    [
        (
            "caesar(news, sede=7)",
            "caesar: 'sede=7' is no option of it; it has seed, characters",
            "write seed=...",
        ),
        (
            "caesar(news, 7)",
            "caesar: '7' is no option of it; it has seed, characters",
            'options are written name=value; a file name with a comma or "=" in quotes.',
        ),
        (
            "caesar(news,)",
            "caesar: '' is no option of it; it has seed, characters",
            'options are written name=value; a file name with a comma or "=" in quotes.',
        ),
        (
            "truncated-to-32-tokens(news, n=5)",
            "truncated-to-32-tokens: 'n=5' is no option of it; it has tokenizer",
            None,
        ),
        ("caesar(news, seed=1, seed=1)", "caesar: seed is given twice", None),
        ("caesar(news, seed=-1)", "caesar: seed must be a whole number; got '-1'", None),
        ("caesar(news, seed=1.5)", "caesar: seed must be a whole number; got '1.5'", None),
        ("caesar(news, seed=)", "caesar: seed must be a whole number; got ''", None),
        (
            "random-strings(length=ten)",
            "random-strings: length must be a whole number; got 'ten'",
            None,
        ),
        (
            "random-strings(50)",
            "random-strings: '50' is no option of it; it has length, alphabet, seed",
            'options are written name=value; a file name with a comma or "=" in quotes.',
        ),
        (
            "truncated-to-n-tokens(news)",
            "truncated-to-n-tokens(news): after how many tokens?",
            "write truncated-to-32-tokens(news), say.",
        ),
        (
            "truncated-to-n-tokens(news, tokenizer=gpt2)",
            "truncated-to-n-tokens(news, tokenizer=gpt2): after how many tokens?",
            "write truncated-to-32-tokens(news), say.",
        ),
    ],
)
def test_wrong_options_are_errors_that_name_them(written: str, message: str, hint: str | None):
    with pytest.raises(ParameterError) as caught:
        taken_apart(written)
    assert caught.value.message == message
    if hint is not None:
        assert caught.value.hint == hint


@pytest.mark.parametrize(
    "written",
    ["caesar(wikipdia)", "shuffled-words(caesar(wikipdia))", "truncated-to-3-tokens(wikipdia)"],
)
def test_a_control_of_an_unknown_set_is_an_error_with_the_nearest_names(written: str):
    with pytest.raises(UnknownNameError) as caught:
        load_texts(written)
    assert caught.value.message.startswith("no text set and no file is called 'wikipdia'; text sets: ")
    assert caught.value.hint == "did you mean wikipedia?"


def test_an_option_out_of_range_is_an_error_that_names_the_whole(tmp_path: Path):
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    written = f"truncated-to-0-tokens({tmp_path}/a.txt)"
    with pytest.raises(ParameterError) as caught:
        load_texts(written)
    assert caught.value.message == (f"{written}: truncated-to-0-tokens: expected at least 1 token")


def test_a_quoted_file_name_may_hold_commas_and_parentheses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    Path("a, b) (1.txt").write_text("one two\nthree four\n")
    Path("it's.txt").write_text("one two\nthree four\n")
    for written in (
        'caesar("a, b) (1.txt", seed=3)',
        "shuffled-words('a, b) (1.txt', seed=3)",
        'caesar("it\'s.txt", seed=3)',
        "caesar(it's.txt)",
    ):
        assert len(load_texts(written)) == 2
    assert load_texts("a, b) (1.txt").texts == ("one two", "three four")


def test_nested_controls_may_quote_inside():
    said = taken_apart("caesar(same-ending(\"a,b.txt\", ending='x, (y'), seed=7)")
    assert said == control("caesar", "same-ending(\"a,b.txt\", ending='x, (y')", seed=7)
    assert isinstance(said, ControlName)
    assert taken_apart(said.whole) == control("same-ending", "a,b.txt", ending="x, (y")


@pytest.mark.parametrize("written", ["", " ", "caesar('')", 'shuffled-words("")'])
def test_an_empty_name_is_not_the_working_folder(
    written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # an unset variable of a shell script gives one
    monkeypatch.chdir(tmp_path)
    Path("one.txt").write_text("one text here")
    Path("two.txt").write_text("another text here")
    with pytest.raises(IsodepthError):
        load_texts(written)


@pytest.mark.parametrize(
    "written",
    [
        f"caesar(x, seed={'9' * 4_999})",
        f"truncated-to-{'9' * 4_999}-tokens(x)",
        f"random-strings(length={'9' * 4_999})",
        f"random-strings(length={'9' * 17})",
        f"random-strings(seed={'9' * 17})",
        "caesar(" * 997 + "x" + ")" * 997,
    ],
    ids=["seed", "tokens", "length", "memory", "seed-range", "nested"],
)
def test_absurd_numbers_and_depths_are_our_own_errors(written: str):
    with pytest.raises(IsodepthError):
        load_texts(written)


fragments = st.lists(
    st.sampled_from(
        [
            *CONTROLS,
            *["truncated-to-", "-tokens", "3", "0", "random-strings", "seed", "characters", "alphabet"],
            *[
                "tokenizer",
                "ending",
                "n",
                "=",
                ",",
                "(",
                ")",
                '"',
                "'",
                " ",
                "\n",
                "x",
                "é",
                "\ud800",
                "\0",
            ],
            *["hf:", "a/b", "@", ":", "[", "]", "-", "_", "A"],
        ]
    ),
    max_size=13,
).map("".join)


@settings(deadline=None, max_examples=700)
@given(st.text(max_size=31) | fragments | st.builds("hf:{}".format, fragments))
def test_no_name_raises_anything_but_our_own_errors(written: str):
    with contextlib.suppress(IsodepthError):
        said = taken_apart(written)
        assert said is None or isinstance(said, (ControlName, HubName, RandomStringsName))


own = st.sampled_from(
    ["x", "é", "(", ")", ",", "=", '"', "'", " ", "seed", "1", "-tokens", "\ud800", "\0"]
)
loadable = st.lists(st.sampled_from([*CONTROLS, "random-strings"]) | own, min_size=1, max_size=11)


@settings(deadline=None, max_examples=300)
@given(loadable.map("".join))
def test_no_name_of_nothing_loads_or_raises_anything_but_our_own_errors(written: str):
    if "''" in written or '""' in written:
        return  # an empty name has a test of its own
    with contextlib.suppress(IsodepthError):
        texts = load_texts(written, 3)
        assert "random-strings" in written  # they alone need no file
        assert len(texts) == 3
