"""Read published affinity matrices, test them as the paper does and better, and draw them.

    python examples/published_matrices.py                      # two small files, made here in that form
    python examples/published_matrices.py reference/affinity   # a folder of .npz files, or one file

The form is that of the matrices that the paper's authors publish: a .npz file for a text set and a
k, which its name says (`web_text_k10.npz`). Under the key "owner/left|owner/right" it holds counts
of shared neighbors, (layers + 1, layers + 1), for every two models and for each with itself; row
and column 0 are the embedding. Without an argument, four made-up models of 9 to 17 layers share the
whole of a progression in one file, and only its ends in the other, which is what random strings
look like.
"""

import itertools
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

import isodepth
from isodepth.figures import array_figure, save_figure
from isodepth.interchange import read_published_matrices

LEFT_OUT = {"openai-community/gpt2"}
"""It is in the published files, and not in the paper."""
N_TEXTS, K = 101, 10


def write_made_up_files(folder: Path) -> None:
    """Write two files in the published form, from made-up neighbors."""
    rng = np.random.default_rng(3)
    layers = {"made-up/nine": 9, "made-up/eleven": 11, "made-up/fourteen": 14, "made-up/seventeen": 17}
    for name, n_stations in (("whole_progression", 7), ("ends_alone", 2)):
        stations = rng.normal(size=(n_stations, N_TEXTS, 10))
        ids = {}
        for model, n_layers in layers.items():
            places = np.linspace(0, n_stations - 1, n_layers + 1)[
                :, np.newaxis
            ]  # one for the embedding
            nearness = np.exp(-((places - np.arange(n_stations)) ** 2) / 0.3)
            activations = np.einsum("ls,stf->ltf", nearness, stations)
            activations += 0.7 * rng.normal(size=activations.shape)
            ids[model] = isodepth.nearest_neighbors(activations, k=K).ids
        counts = {}
        for one, other in itertools.combinations_with_replacement(layers, 2):
            similarity = isodepth.affinity_matrix(ids[one], ids[other]).values
            counts[f"{one}|{other}"] = np.rint(similarity * K * N_TEXTS).astype(np.uint16)
        np.savez_compressed(folder / f"{name}_k{K}.npz", **counts)


def report(path: Path, out: Path) -> None:
    """Print what the matrices of a file support, and draw them."""
    found = read_published_matrices(path).matrices
    models = [name for name in found.left if name not in LEFT_OUT]
    pairs = [one for one in found.pairs() if LEFT_OUT.isdisjoint((one.left, one.right))]
    print(
        f"{path.name}: {len(models)} models, {len(pairs)} pairs, {found.n_texts:,} texts of "
        f"{found.texts}, k = {found.k}, chance {found.chance:.4f}"
    )
    tests = [isodepth.diagonal_test(one.values) for one in pairs]
    adjusted = isodepth.adjust_p_values(np.array([test.p_value for test in tests]))
    differences = np.array([test.difference for test in tests])
    print(
        f"  on minus off the generalized diagonal: mean {differences.mean():.4f}; above 0 in "
        f"{(differences > 0).sum()} of {len(pairs)} pairs"
    )
    worst = pairs[int(adjusted.argmax())]
    print(
        f"  the paper's t-test, after Bonferroni: {(adjusted <= 0.05).sum()} of {len(pairs)} pairs "
        f"pass at 0.05; highest p {adjusted.max():.3g}, of {worst.left} and {worst.right}"
    )
    # the contrast cannot tell a ridge from bright corners; the decision can
    decisions = [isodepth.assess_pair(one).decision for one in pairs]
    for verdict, number in Counter(one.verdict for one in decisions if one).most_common():
        print(f"  {number} of {len(pairs)} pairs: {verdict} (by the matrices alone)")
    picture = out / f"{path.stem}.png"
    save_figure(array_figure(found, order=models), picture)
    print(f"  all pairs as a figure: {picture}\n")


def main(arguments: list[str]) -> None:
    """Report on the files that are named, or on two that are made here."""
    out = Path(tempfile.mkdtemp(prefix="isodepth-"))
    if arguments:
        paths = [
            file for name in arguments for file in (sorted(Path(name).glob("*.npz")) or [Path(name)])
        ]
    else:
        print("No folder was given: made-up models, in files of the published form.\n")
        write_made_up_files(out)
        paths = sorted(out.glob("*.npz"), reverse=True)
    for path in paths:
        report(path, out)


if __name__ == "__main__":
    main(sys.argv[1:])
