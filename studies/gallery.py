"""What do the paper's own matrices look like? The gallery of the docs, from the published files.

    python -m studies.gallery reference/affinity --out docs/gallery

Reads the authors' matrices of 24 models (files such as web_text_k10.npz; GPT-2, which the paper leaves
out, is left out), and writes every figure that they give and a report. Some two minutes on two cores.
The matrices are not part of isodepth, and what is made of them is not kept in its repository.
"""

import argparse
from pathlib import Path

from isodepth.cli.progress import ProgressDisplay
from isodepth.interchange import imported_results, read_published_matrices
from isodepth.models import MODELS
from isodepth.pipeline import assess_study, write_figures, write_report

FILES = ("web_text_k10.npz", "web_text_k1.npz", "random_strings_k10.npz")
LEFT_OUT = ("openai-community/gpt2",)


def main() -> None:
    """Draw the gallery and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("published", type=Path, help="folder of the published .npz files")
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    arguments = parser.parse_args()
    paths = [arguments.published / name for name in FILES]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        parser.error(f"{arguments.published} lacks {', '.join(missing)}")
    results = imported_results(
        [read_published_matrices(path) for path in paths], name="the paper's matrices"
    ).without(LEFT_OUT)
    labels = next(iter(next(iter(results.sets.values())).matrices.values())).left
    families: dict[str, list[str]] = {}
    for label in labels:
        families.setdefault(MODELS[label].architecture, []).append(label)
    with ProgressDisplay() as progress:
        assessed = assess_study(results, groups=families, progress=progress)
        figures = write_figures(
            results, arguments.out, assessed=assessed, groups=families, progress=progress
        )
        report = write_report(results, arguments.out / "report.html", assessed=assessed)
    print(f"{len(figures) - 1} figures, listed in {figures[-1]}")
    print(f"report: {report.path} ({report.size_bytes / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
