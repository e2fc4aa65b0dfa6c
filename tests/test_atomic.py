"""A folder for results is refused before the work that would fill it; writing is in test_store."""

from pathlib import Path

import pytest

from isodepth.atomic import refuse_unwritable
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
