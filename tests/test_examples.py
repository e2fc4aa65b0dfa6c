"""The examples and the README's commands do what they say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import isodepth

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_without_a_warning(path: Path) -> None:
    command = [sys.executable, "-W", "error::UserWarning", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_the_readme_uses_only_names_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    names = set(re.findall(r"isodepth\.(\w+)\(", readme))
    assert {"compare", "nearest_neighbors", "affinity_matrix", "assess_pair", "depth_map"} <= names
    assert names <= set(isodepth.__all__)


def test_links_of_readme_and_docs_lead_to_files() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).is_file(), f"{page.name}: {target}"
