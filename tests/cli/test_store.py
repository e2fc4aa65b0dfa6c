"""`isodepth store`: what is kept, whether it is whole, and what can go."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isodepth.cli import cli
from isodepth.cli.store import store_command
from isodepth.stages import STAGE_VERSIONS, versions_up_to
from isodepth.store import ARRAYS, DamagedArtifactWarning, RemoteStore, Store, content_key
from tiny_stores import KEY, OTHER_KEY, SHAPE, STAGE, flip_byte, write_rows

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.commands, "store", store_command)


@pytest.fixture
def store(rng: np.random.Generator) -> Store:
    """The default store, with neighbors, an affinity matrix and an unfinished array."""
    store = Store()
    manifest = {
        "model": "tiny [mean]",
        "texts": "news",
        "k": 13,
        "versions": versions_up_to("neighbors"),
    }
    store.write(STAGE, f"{KEY}-k13", arrays={"ids": np.arange(2000)}, manifest=manifest)
    matrix = {"left": "tiny", "right": "small", "k": 5, "versions": {"affinities": 10**6}}
    store.write("affinity", OTHER_KEY, arrays={"values": np.zeros((3, 5))}, manifest=matrix)
    readers = [{"label": "a"}, {"label": "b"}, {"label": "c"}]
    store.write(
        "affinities",
        f"{OTHER_KEY}-{KEY}",
        arrays={"values": np.zeros((3, 5))},
        manifest={"readers": readers, "left": ["x"], "k": 5, "versions": {"affinities": 10**6}},
    )
    manifest = {"versions": versions_up_to("activations")}
    array = store.begin("activations", KEY, shape=SHAPE, manifest=manifest)
    write_rows(array, rng.standard_normal(SHAPE).astype(np.float32), [4, 2])
    return store


def lines(said: str) -> list[list[str]]:
    """Return the cells of the lines of tables."""
    return [re.split(r" {2,}", line.strip()) for line in said.splitlines() if line.strip()]


def test_an_empty_store_is_said_to_be_empty(run: Run) -> None:
    assert run("store", "ls") == (0, f"{os.environ['ISODEPTH_STORE']}\nIt is empty.\n", "")
    assert not Store().root.exists()


def test_the_list_tells_stages_artifacts_and_unfinished_arrays(run: Run, store: Store) -> None:
    status, said, problems = run("store", "ls")
    assert (status, problems) == (0, "")
    rows = lines(said)
    assert rows[0] == [str(store.root)]
    assert ["stage", "artifacts", "size"] in rows
    assert [STAGE, "1", "16 kB"] in rows
    (neighbors,) = [row for row in rows if row[:2] == [STAGE, f"{KEY[:12]}-k13"]]
    assert neighbors[2:6] == ["tiny [mean]", "news", "13", "16 kB"]
    assert re.fullmatch(r"\d+ s", neighbors[6])
    (affinity,) = [row for row in rows if row[:2] == ["affinity", OTHER_KEY[:12]]]
    assert affinity[2:4] == ["tiny x small", "5"]
    (matrices,) = [row for row in rows if row[:2] == ["affinities", f"{OTHER_KEY[:12]}-{KEY[:12]}"]]
    assert matrices[2:4] == ["3 readers", "5"]
    (array,) = [row for row in rows if row[:2] == ["activations", KEY[:12]]]
    assert array[2] == "2 of 7"


def test_ages_are_told_in_the_largest_unit_that_fits(run: Run, store: Store) -> None:
    folder = store.folder(STAGE, f"{KEY}-k13")
    for seconds, told in ((125, "2 min"), (2 * 3600 + 60, "2 h"), (9 * 86_400 + 60, "9 d")):
        for path in (folder, *folder.iterdir()):
            os.utime(path, (time.time() - seconds,) * 2)
        assert told in [row[-1] for row in lines(run("store", "ls")[1]) if row[0] == STAGE]


def test_what_was_set_aside_is_counted(run: Run, store: Store) -> None:
    flip_byte(store.folder("affinity", OTHER_KEY) / ARRAYS, -1)
    with pytest.warns(DamagedArtifactWarning):
        store.read("affinity", OTHER_KEY)
    assert "set aside, because damaged: 1, " in run("store", "ls")[1]


def test_a_whole_store_verifies_with_status_zero(run: Run, store: Store) -> None:
    status, said, _ = run("store", "verify")
    assert status == 0
    assert re.fullmatch(r"Checked 3 artifacts and 1 unfinished arrays, \d+ kB: all are whole\.\n", said)


def test_a_damaged_file_is_told_with_status_one_and_set_aside_when_asked(
    run: Run, store: Store
) -> None:
    path = store.folder("affinity", OTHER_KEY) / ARRAYS
    flip_byte(path, -1)
    for _ in range(2):
        status, said, _ = run("store", "verify")
        assert status == 1
        assert f"damaged: {path} has sha256" in said
        assert said.endswith("1 file is damaged.\n")
    status, said, _ = run("store", "verify", "--set-aside")
    assert status == 1
    assert f"; it was moved to {store.root / 'damaged'}" in said
    status, said, _ = run("store", "verify", "--store", store.root)
    assert status == 0


def old_lock(store: Store) -> Path:
    path = store.root / "locks" / f"{STAGE}-{content_key({})}.lock"
    path.parent.mkdir()
    path.touch()
    os.utime(path, (time.time() - 2 * 86_400,) * 2)
    return path


def test_what_can_go_is_listed_and_removed_only_when_agreed(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = old_lock(store)
    status, said, _ = run("store", "gc", "--dry-run")
    assert status == 0
    assert "a lock that nobody holds" in said
    assert said.endswith("1 can go, 0 kB. Nothing was removed.\n")
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "n")
    status, said, _ = run("store", "gc")
    assert (status, path.exists()) == (0, True)
    assert said.endswith("Nothing was removed.\n")
    monkeypatch.setattr("click.termui.visible_prompt_func", lambda prompt: "y")
    status, said, _ = run("store", "gc")
    assert (status, path.exists()) == (0, False)
    assert said.endswith("Removed 1 of 1; 0 kB freed.\n")
    assert run("store", "gc") == (0, "Nothing can go.\n", "")


def test_results_of_older_versions_go_without_asking_when_told_so(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = STAGE_VERSIONS["neighbors"]
    monkeypatch.setitem(STAGE_VERSIONS, "neighbors", before + 1)
    status, said, _ = run("store", "gc", "--yes")
    assert status == 0
    assert f"{STAGE}/{KEY}-k13" in said.replace("\n", "")
    assert f"of version {before} of neighbors, now {before + 1}" in said
    assert said.endswith("Removed 1 of 1; 16 kB freed.\n")
    assert store.keys(STAGE) == []
    assert store.keys("affinity") == [OTHER_KEY]


def test_neighbors_that_name_no_versions_are_of_older_code(run: Run, store: Store) -> None:
    # manifests began to name versions when that of activations, which is in the keys, was 2
    assert STAGE_VERSIONS["activations"] > 2
    store.write(STAGE, f"{OTHER_KEY}-k5", arrays={"ids": np.arange(5)}, manifest={"version": 1})
    status, said, _ = run("store", "gc", "--yes")
    assert status == 0
    assert "of an unknown older version of neighbors" in said
    assert store.keys(STAGE) == [f"{KEY}-k13"]


def test_what_a_study_does_not_need_stays_while_another_one_runs(
    run: Run, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isodepth.cli.store._needed", lambda *studies: set())
    with store.running():
        status, said, problems = run("store", "gc", "--yes", "--keep-only", "small.toml")
        assert (status, said) == (1, "")
        assert problems == (
            f"error: what is needed in {store.root} is not known while 1 run uses it. Nothing was "
            "removed.\nhint: wait until nothing runs, or use gc without --keep-only.\n"
        )
        assert run("store", "gc") == (0, "Nothing can go.\n", "")
    status, said, _ = run("store", "gc", "--yes", "--keep-only", "small.toml")
    assert (status, said.splitlines()[-1][:15]) == (0, "Removed 3 of 3;")


def test_a_remote_store_is_listed_verified_and_its_copies_go(run: Run, tmp_path: Path) -> None:
    address = (tmp_path / "bucket").as_uri()
    store = RemoteStore(address)
    manifest = {"model": "tiny", "versions": versions_up_to("neighbors")}
    store.write(STAGE, KEY, arrays={"ids": np.arange(2000)}, manifest=manifest)
    for _ in range(2):
        status, said, _ = run("store", "ls", "--store", address)
        assert (status, said.splitlines()[0]) == (0, address)
        assert [STAGE, KEY[:12], "tiny", "16 kB"] in [row[:4] for row in lines(said)]
        assert run("store", "verify", "--store", address)[0] == 0
        status, said, _ = run("store", "gc", "--copies", "--yes", "--store", address)
        assert said.endswith(("16 kB freed.\n", "Nothing can go.\n"))
    assert not store.folder(STAGE, KEY).exists()


def test_an_unknown_place_is_one_message_and_a_hint(run: Run) -> None:
    status, said, problems = run("store", "ls", "--store", "s33://bucket")
    assert (status, said) == (1, "")
    assert problems.startswith("error: s33://bucket: unknown protocol 's33'\nhint: did you mean")
