"""A folder is refused before the work that would fill it, and goes at once; writing is in store/test_artifacts."""

from pathlib import Path

import pytest

from isodepth.atomic import refuse_unwritable, remove_folder
from isodepth.errors import StoreError


def test_a_folder_that_can_be_made_passes_and_is_not_made(tmp_path: Path) -> None:
    refuse_unwritable(tmp_path / "new" / "deeper")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_below_a_file_is_refused_by_the_file_s_name(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("text")
    with pytest.raises(StoreError, match=r"a file stands where a folder is needed.*notes\.txt"):
        refuse_unwritable(tmp_path / "notes.txt" / "out")


def test_a_folder_without_permission_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(StoreError, match="no permission"):
        refuse_unwritable(tmp_path / "out")


def test_a_folder_is_removed_with_all_in_it_and_nothing_beside_it(tmp_path: Path) -> None:
    folder, beside = tmp_path / "results", tmp_path / "results-2"
    for path in (folder / "deeper", beside):
        path.mkdir(parents=True)
        (path / "values").write_text("values")
    for _ in range(2):
        remove_folder(folder)
        assert list(tmp_path.iterdir()) == [beside]
    assert (beside / "values").read_text() == "values"


def test_a_removal_that_is_broken_off_leaves_no_part_in_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_off(path: Path, **options: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "results" / "deeper").mkdir(parents=True)
    monkeypatch.setattr("shutil.rmtree", broken_off)
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "results")
    assert [path.name[0] for path in tmp_path.iterdir()] == ["."]
