"""`isodepth measures`, and `compare` with measures, distances and preprocessing."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from isodepth.affinity import MEASURES
from isodepth.cli.measures import range_of
from isodepth.comparison import Comparison

Run = Callable[..., tuple[int, str, str]]
DOCS = Path(__file__).parents[2] / "docs" / "measures.md"
MARKERS = ("<!-- `isodepth measures --markdown` -->\n", "<!-- end -->")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with a measure and with one that cannot be loaded."""
    folder = tmp_path / "site"
    info = folder / "lengths-2.5.dist-info"
    info.mkdir(parents=True)
    (folder / "lengths.py").write_text("def share(left, right):\n    return 0.5\n")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lengths\nVersion: 2.5\n")
    entries = "length_share = lengths:share\nlength_lost = lengths:lost\n"
    (info / "entry_points.txt").write_text(f"[isodepth.measures]\n{entries}")
    monkeypatch.syspath_prepend(str(folder))


def test_all_are_listed_with_what_they_read_and_their_range(run: Run) -> None:
    status, said, problems = run("measures")
    assert (status, problems) == (0, "")
    lines = said.splitlines()
    assert lines[-1] == "'isodepth measures NAME' tells source, invariances and cost."
    rows = [re.split(r" {2,}", line, maxsplit=3) for line in lines[:-2]]
    assert rows == [
        [name, measure.reads, range_of(measure), measure.title] for name, measure in MEASURES.items()
    ]
    by_name = {row[0]: row[2] for row in rows}
    assert by_name["mutual_knn"] == "0 to 1"
    assert by_name["ridge_to_right"] == "up to 1"


@pytest.mark.usefixtures("package")
def test_those_of_packages_are_listed_and_what_is_wrong_with_them(run: Run) -> None:
    status, said, _ = run("measures")
    assert status == 0
    by_name = dict(line.split(maxsplit=1) for line in said.splitlines()[:-2])
    assert by_name["length_share"].endswith("length share")
    assert "the measure 'length_lost' of lengths 2.5 cannot be loaded" in by_name["length_lost"]
    assert "svcca" in by_name
    status, _, problems = run("measures", "length_lost")
    assert status == 1
    assert "cannot be loaded" in problems


def test_some_are_explained(run: Run) -> None:
    status, said, _ = run("measures", "cka_debiased", "ridge_to_right", "mutual_knn")
    assert status == 0
    debiased, ridge, knn = said.split("\n\n")
    facts = {
        name: dict(re.findall(r"^  ([a-z ]+): +(.*(?:\n {18}.*)*)", one, flags=re.MULTILINE))
        for name, one in (("debiased", debiased), ("ridge", ridge), ("knn", knn))
    }
    assert debiased.startswith(f"cka_debiased: {MEASURES['cka_debiased'].title}\n")
    assert all(
        [*one] == ["reads", "k", "range", "left and right", "ignores", "chance", "source", "cost"]
        for one in facts.values()
    )
    assert facts["debiased"]["k"] == "takes none"
    assert facts["ridge"]["left and right"] == "are told apart"
    assert facts["knn"]["left and right"] == "may be exchanged"
    assert facts["knn"]["k"] == "takes it"
    assert facts["knn"]["ignores"].startswith("with cosine: orthogonal")
    assert facts["debiased"]["ignores"].startswith("orthogonal")
    assert facts["knn"]["chance"] == "0.004885 for 2,048 texts, k = 10"  # 10 / 2047
    assert " ".join(facts["ridge"]["source"].split()) == " ".join(
        MEASURES["ridge_to_right"].source.split()
    )


def test_an_unknown_one_is_told_with_the_nearest(run: Run) -> None:
    status, said, problems = run("measures", "mutal_knn")
    assert (status, said) == (1, "")
    assert "got 'mutal_knn'" in problems
    assert "hint: did you mean mutual_knn" in problems


def test_the_table_of_the_docs_is_what_the_command_prints(run: Run) -> None:
    status, said, _ = run("measures", "--markdown")
    assert status == 0
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(MARKERS[0])
    table, end, _ = rest.partition(MARKERS[1])
    assert (bool(before), end) == (True, MARKERS[1])
    assert table.strip() == said.strip()


def test_the_table_has_a_line_each_with_as_many_cells(run: Run) -> None:
    _, said, _ = run("measures", "--markdown", "cka", "ridge_to_right", "cknna")
    header, rule, *lines = said.splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert {len(row) for row in cells} == {header.count("|") - 1} == {rule.count("|") - 1}
    assert [row[0] for row in cells] == ["`cka`", "`ridge_to_right`", "`cknna`"]
    assert [row[1].endswith(" (directed)") for row in cells] == [False, True, False]
    assert [row[2] for row in cells] == ["activations", "activations", "activations (k)"]


# compare


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    import tiny_models

    path = tmp_path / "texts.txt"
    path.write_text("\n".join(tiny_models.texts_of([3 + i % 11 for i in range(29)], seed=41)))
    return path


def test_compare_says_by_what(
    run: Run,
    gpt2_folder: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Comparison, "write", lambda self, out: [out / "summary.json"])
    steps = ("--measure", "cka", "--preprocessing", "center+unit_norm")
    arguments = ("--texts", texts, "-k", 5, *steps, "--out", tmp_path / "out")
    status, said, problems = run("compare", gpt2_folder, gpt2_folder, *arguments)
    assert status == 0, problems
    assert (
        f"29 texts of texts.txt, {MEASURES['cka'].title}, after center + unit_norm, capture block, "
        "pooling last." in said
    )
    assert not any(word in said.lower() for word in ("beyond chance", "verdict", "depth-matched"))
    assert "Most similar: layer" in said


def test_compare_takes_a_distance(
    run: Run, gpt2_folder: Path, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {}

    def noted(*_: object, **options: object) -> None:
        asked.update(options)
        raise SystemExit(7)

    monkeypatch.setattr("isodepth.pipeline.compare", noted)
    arguments = ("compare", gpt2_folder, gpt2_folder, "--texts", texts)
    assert run(*arguments, "--metric", "inner_product")[0] == 7
    assert (asked["metric"], asked["preprocessing"], asked["measure"]) == (
        "inner_product",
        "none",
        "mutual_knn",
    )


@pytest.mark.parametrize(
    ("option", "value", "status", "said"),
    [
        ("--measure", "ckaa", 1, "got 'ckaa'"),
        ("--measure", "ckaa", 1, "did you mean cka"),
        ("--metric", "cosin", 2, "'cosin' is not one of 'cosine', 'euclidean'"),
        ("--preprocessing", "centre", 1, "'centre'"),
        ("--preprocessing", "centre", 1, "did you mean center"),
        ("--preprocessing", "clip(2)", 1, "clip"),
    ],
)
def test_compare_refuses_unknown_names(
    option: str,
    value: str,
    status: int,
    said: str,
    run: Run,
    gpt2_folder: Path,
    texts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("isodepth.models.loading.load_model", None)
    found, _, problems = run(
        "compare", gpt2_folder, gpt2_folder, "--texts", texts, option, value, "--out", tmp_path / "out"
    )
    assert found == status
    assert said in problems
    assert not (tmp_path / "out").exists()
