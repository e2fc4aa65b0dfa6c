"""Tests run on one thread a process, whatever the modules of tests import."""

import os

import pytest
import torch


@pytest.mark.skipif(os.environ["OMP_NUM_THREADS"] != "1", reason="OMP_NUM_THREADS asks for several")
def test_nothing_that_tests_import_gives_torch_more_threads():
    """Two processes of two threads each, on two cores, wait for each other most of the time."""
    import dcor  # noqa: F401  # has code that Numba compiles for several threads

    assert torch.get_num_threads() == 1
