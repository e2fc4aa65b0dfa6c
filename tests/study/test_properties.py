"""Whatever is written, a study comes out, or an error that says why not."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isodepth.errors import StudyError
from isodepth.study import Study, load_study
from isodepth.study.problems import shown
from isodepth.study.schema import EXPECTED, LISTS, TABLES

NAMES = st.sampled_from(
    ["offline", "paper", "gemma-2b", "gemma-2b(dtype=float16)", "google/gemma-2b", "owner/name@main", "./x",
     "news", "ifeval", "caesar(news)", "caesar(", "random-strings(length=5)", "hf:a/b:c", "-", "block",
     "mutual_knn", "last", "cosine", "all", "hub", "cpu", "auto", "", "\x00", "\ud800", "~", "/", "..", "a" * 300]
)  # fmt: skip
PLAIN = st.one_of(
    NAMES,
    st.text(max_size=8),
    st.integers(),
    st.integers(0, 300),
    st.booleans(),
    st.none(),
    st.floats(),
)
KEYS = st.sampled_from(sorted({key for table in TABLES.values() for key in table.model_fields}))
VALUES = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(KEYS | st.text(max_size=5) | NAMES, inner, max_size=4)
    ),
    max_leaves=12,
)
LIKELY = st.fixed_dictionaries(
    {"models": st.sampled_from(["offline", ["gemma-2b"]]), "texts": st.sampled_from(["news", ["ifeval", "imdb"]])},
    optional={key: VALUES for key in TABLES[""].model_fields if key not in ("models", "texts")},
)  # fmt: skip
GENTLY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def outcome(keys: dict[str, Any]) -> Study | StudyError:
    try:
        return Study.of(**keys)
    except StudyError as error:
        return error


@pytest.mark.parametrize(
    "strategy", [st.dictionaries(KEYS | st.text(max_size=6), VALUES, max_size=9), LIKELY]
)
@GENTLY
@given(data=st.data())
def test_any_keys_give_a_study_or_say_what_is_wrong(strategy: Any, data: st.DataObject) -> None:
    keys = data.draw(strategy)
    found = outcome(keys)
    if isinstance(found, Study):
        assert Study.of(**found.as_dict()).as_dict() == found.as_dict()
        return
    lines = found.message.splitlines()
    assert lines
    assert len(set(lines)) == len(lines)
    assert all(": " in line for line in lines)
    assert found.message.replace("\n", "").isprintable()
    for word in ("pydantic", "validation", "Input should", "Extra inputs", "NoneType", "Traceback"):
        assert word not in found.message


@GENTLY
@given(n=st.integers(2, 300), ks=st.lists(st.integers(1, 400), min_size=1, max_size=4, unique=True))
def test_a_k_must_be_below_the_number_of_texts(n: int, ks: list[int]) -> None:
    found = outcome({"models": "offline", "texts": "news", "n": n, "ks": ks})
    assert isinstance(found, Study) == (max(ks) < n)
    if isinstance(found, StudyError):
        assert len(found.message.splitlines()) == sum(k >= n for k in ks)


@GENTLY
@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "replace")))
def test_any_file_gives_a_study_or_an_error_that_names_it(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_bytes(data)
        with pytest.raises(StudyError) as caught:
            load_study(path)
        assert str(path) in caught.value.message


@GENTLY
@given(VALUES)
def test_any_value_is_shown_in_one_short_line(value: Any) -> None:
    text = shown(value)
    assert text.isprintable()
    assert len(text) < 6000


@given(st.text(alphabet=st.characters(exclude_categories=("C", "Z")), max_size=60))
def test_a_name_is_shown_as_toml_writes_it(name: str) -> None:
    assert json.loads(shown(name)) == name or len(json.dumps(name, ensure_ascii=False)) > 80


def test_every_key_has_words_for_what_it_takes() -> None:
    for table, fields in TABLES.items():
        for key in fields.model_fields:
            pattern = f"{table}.{key}".removeprefix(".")
            assert EXPECTED.get(pattern) or EXPECTED.get(key) or EXPECTED[""], pattern
            if table == "" and key in LISTS:
                assert f"{key}[]" in EXPECTED
    known = {key for fields in TABLES.values() for key in fields.model_fields}
    assert {key.rsplit(".", 1)[-1].removesuffix("[]") for key in EXPECTED} <= {*known, ""}
