"""Small layers cut as large ones are."""

import pytest

from isodepth.neighbors import selection


def cut_tiles(monkeypatch: pytest.MonkeyPatch, rows: int, n_threads: int = 1) -> None:
    """Cut tiles of so many rows and twice as many columns and one, and share them among threads."""
    monkeypatch.setattr(selection, "TILE_ROWS", rows)
    monkeypatch.setattr(selection, "TILE_COLUMNS", 2 * rows + 1)
    monkeypatch.setattr(selection, "LEAST_WORK", 1)
    monkeypatch.setattr(selection, "usable_cores", lambda: n_threads)
