"""Names that tell all models of a study apart."""

import random
from dataclasses import replace
from pathlib import Path

from isodepth.models import ModelSource
from isodepth.pipeline.labels import told_apart


def source(name: str, digest: str, folder: str | None = None) -> ModelSource:
    location = None if folder is None else Path(folder) / name
    return ModelSource(kind="folder", name=name, weights_digest=digest, location=location)


def names(*sources: ModelSource, numbers: list[str] | None = None) -> list[str]:
    return [one.name for one in told_apart(sources, numbers=numbers)]


def test_names_that_differ_stay_as_they_are() -> None:
    assert names(source("a", "1", "/x"), source("b", "2", "/x")) == ["a", "b"]
    assert names() == []


def test_models_of_one_name_are_told_apart_by_their_folders_and_others_keep_their_names() -> None:
    given = [source("m", "1", "/one"), source("other", "2", "/two"), source("m", "3", "/three")]
    assert names(*given) == ["one/m", "other", "three/m"]


def test_models_of_one_name_in_folders_of_one_name_are_numbered_by_their_places() -> None:
    given = [source("other", "0"), source("m", "1", "/a/x"), source("m", "2", "/b/x")]
    assert names(*given) == ["other", "m (2)", "m (3)"]
    assert names(*given[1:], numbers=["left", "right"]) == ["m (left)", "m (right)"]


def test_a_model_without_a_place_on_this_machine_is_told_apart_too() -> None:
    assert names(source("m", "1"), source("m", "2", "/x")) == ["m", "x/m"]
    assert names(source("m", "1"), source("m", "2")) == ["m (1)", "m (2)"]


def test_one_model_twice_keeps_one_name() -> None:
    assert names(source("m", "1", "/x"), source("m", "1", "/y")) == ["m", "m"]


def test_only_names_change() -> None:
    given = [source("m", "1", "/x"), source("m", "2", "/y"), source("n", "3", "/y")]
    found = told_apart(given)
    assert [replace(new, name=old.name) for new, old in zip(found, given, strict=True)] == given


def shared_names(known: list[str], rng: random.Random) -> list[object]:
    """Return what models share a name in the first of many random studies where different ones do."""
    for _ in range(500):
        given = [
            source(rng.choice(known), str(rng.randrange(5)), rng.choice([None, "/1/x", "/2/x", "/1/y"]))
            for _ in range(rng.randrange(1, 6))
        ]
        digests: dict[str, set[str]] = {}
        for one in told_apart(given):
            digests.setdefault(one.name, set()).add(one.digest)
        if any(len(found) > 1 for found in digests.values()):
            return [digests, [(one.name, one.digest, one.location) for one in given]]
    return []


def test_different_models_never_share_a_name() -> None:
    assert shared_names(["a", "b", "c/a"], random.Random(5)) == []


def test_a_models_own_name_is_no_other_models_number() -> None:
    assert shared_names(["a", "a (1)", "a (2)"], random.Random(7)) == []
