import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.cluster.hierarchy import leaves_list

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError
from isodepth.statistics.clustering import LINKAGES, ModelTree, cluster_models
from isodepth.statistics.distances import ModelDistances, model_distances


def distances_of(values: np.ndarray, models: tuple[str, ...] | None = None) -> ModelDistances:
    models = models or tuple(f"model-{place}" for place in range(len(values)))
    return ModelDistances(values=values, models=models, by="path", chance=0.005)


def random_distances(rng: np.random.Generator, n_models: int) -> np.ndarray:
    values = np.triu(rng.uniform(0.2, 1, size=(n_models, n_models)), 1)
    return values + values.T


def families(rng: np.random.Generator, sizes: tuple[int, ...], *, spread: float = 0.02) -> np.ndarray:
    """Make distances of 0.3 within families and 0.6 between them."""
    family = np.repeat(np.arange(len(sizes)), sizes)
    values = np.where(family[:, np.newaxis] == family, 0.3, 0.6)
    values = values + np.triu(rng.uniform(-spread, spread, size=values.shape))
    values = np.triu(values, 1)
    return values + values.T


Node = tuple[str, float, list]


def parsed(text: str) -> Node:
    """Read a tree in Newick's format: the label, the branch's length and the children of its root."""
    tokens = re.findall(r"'(?:[^']|'')*'|[(),;:]|[^(),;:']+", text)
    assert "".join(tokens) == text
    place = 0

    def node() -> Node:
        nonlocal place
        children = []
        if tokens[place] == "(":
            while tokens[place] in "(,":
                place += 1
                children.append(node())
            assert tokens[place] == ")"
            place += 1
        label, length = "", 0.0
        if tokens[place] not in ",:;)":
            label = tokens[place]
            if label.startswith("'"):
                label = label[1:-1].replace("''", "'")
            place += 1
        if tokens[place] == ":":
            length = float(tokens[place + 1])
            place += 2
        return label, length, children

    root = node()
    assert tokens[place:] == [";"]
    return root


def leaves_of(node: Node) -> list[tuple[str, float]]:
    """Give the leaves below a node with their distance from it."""
    label, _, children = node
    if not children:
        return [(label, 0.0)]
    return [(name, way + child[1]) for child in children for name, way in leaves_of(child)]


def inner_nodes(node: Node) -> list[Node]:
    return [node, *(inner for child in node[2] for inner in inner_nodes(child))] if node[2] else []


@pytest.mark.parametrize("method", sorted(LINKAGES))
@pytest.mark.parametrize("n_models", [2, 3, 7, 13])
def test_a_tree_has_every_model_once_and_rises_to_one_root(
    rng: np.random.Generator, n_models: int, method: str
):
    tree = cluster_models(distances_of(random_distances(rng, n_models)), method=method)
    assert isinstance(tree, ModelTree)
    assert sorted(tree.order) == sorted(tree.models)
    assert tree.method == method
    assert len(tree.clades) == len(tree.linkage) == n_models - 1
    assert set(tree.clades[-1].models) == set(tree.models)
    heights = [clade.height for clade in tree.clades]
    assert heights == sorted(heights)
    assert all(clade.support is None for clade in tree.clades)
    for clade in tree.clades:  # the members stand side by side, in order
        start = tree.order.index(clade.models[0])
        assert tree.order[start : start + len(clade.models)] == clade.models


def test_average_linkage_is_that_of_merging_the_nearest_groups(rng: np.random.Generator):
    values = random_distances(rng, 11)
    groups = [frozenset([place]) for place in range(11)]
    merged = []
    while len(groups) > 1:

        def apart(pair: tuple[frozenset[int], frozenset[int]]) -> float:
            return float(np.mean([values[i, j] for i in pair[0] for j in pair[1]]))

        nearest = min(itertools.combinations(groups, 2), key=apart)
        merged.append((nearest[0] | nearest[1], apart(nearest)))
        groups = [group for group in groups if group not in nearest] + [merged[-1][0]]
    tree = cluster_models(distances_of(values))
    for clade, (members, height) in zip(tree.clades, merged, strict=True):
        assert set(clade.models) == {f"model-{place}" for place in members}
        assert clade.height == pytest.approx(height)


@pytest.mark.parametrize("method", sorted(LINKAGES))
def test_leaves_are_ordered_so_that_neighbors_are_near(rng: np.random.Generator, method: str):
    values = random_distances(rng, 7)
    tree = cluster_models(distances_of(values), method=method)
    assert tree.order == tuple(tree.models[leaf] for leaf in leaves_list(tree.linkage))

    def length(order: tuple[str, ...]) -> float:
        places = [tree.models.index(model) for model in order]
        return float(sum(values[i, j] for i, j in itertools.pairwise(places)))

    allowed = [
        order
        for order in itertools.permutations(tree.models)
        if all(
            max(map(order.index, clade.models)) - min(map(order.index, clade.models))
            == len(clade.models) - 1
            for clade in tree.clades
        )
    ]
    assert len(allowed) == 2**6
    assert length(tree.order) == pytest.approx(min(map(length, allowed)))


def test_planted_families_come_together(rng: np.random.Generator):
    sizes = (5, 7)
    shuffled = rng.permutation(12)
    values = families(rng, sizes)[np.ix_(shuffled, shuffled)]
    tree = cluster_models(distances_of(values))
    expected = {
        frozenset(f"model-{place}" for place in range(12) if (shuffled[place] < 5) == is_first)
        for is_first in (True, False)
    }
    assert {frozenset(group) for group in tree.groups(2)} == expected
    assert {frozenset(group) for group in tree.groups(height=0.45)} == expected
    assert tree.cophenetic_correlation > 0.95


def test_groups_partition_the_models_in_the_order_of_the_leaves(rng: np.random.Generator):
    tree = cluster_models(distances_of(random_distances(rng, 11)))
    for n in range(1, 12):
        groups = tree.groups(n)
        assert len(groups) == n
        assert tuple(model for group in groups for model in group) == tree.order
        finer = tree.groups(min(n + 1, 11))
        assert all(any(set(part) <= set(group) for group in groups) for part in finer)
    assert tree.groups(height=0.0) == tuple((model,) for model in tree.order)
    assert tree.groups(height=tree.clades[-1].height) == (tree.order,)


def test_duplicates_merge_at_no_distance(rng: np.random.Generator):
    values = families(rng, (3, 3))
    values[1], values[:, 1] = values[0], values[:, 0]
    values[0, 1] = values[1, 0] = values[1, 1] = 0.0
    first = cluster_models(distances_of(values)).clades[0]
    assert (set(first.models), first.height) == ({"model-0", "model-1"}, 0.0)


@pytest.mark.parametrize("method", sorted(LINKAGES))
def test_a_tree_of_a_tree_is_itself(rng: np.random.Generator, method: str):
    tree = cluster_models(distances_of(random_distances(rng, 7)), method=method)
    meeting = np.zeros((7, 7))
    for clade in reversed(tree.clades):
        members = [tree.models.index(model) for model in clade.models]
        meeting[np.ix_(members, members)] = clade.height
    np.fill_diagonal(meeting, 0.0)
    again = cluster_models(distances_of(meeting), method=method)
    assert again.cophenetic_correlation == pytest.approx(1.0)
    assert {frozenset(clade.models) for clade in again.clades} == {
        frozenset(clade.models) for clade in tree.clades
    }


# support


def test_resamples_without_spread_support_everything(rng: np.random.Generator):
    values = random_distances(rng, 7)
    tree = cluster_models(distances_of(values), resampled=np.stack([values] * 13))
    assert [clade.support for clade in tree.clades] == [1.0] * 6


def test_support_is_the_share_of_trees_with_the_same_group(rng: np.random.Generator):
    # three models: which two are near differs
    def near(i: int, j: int) -> np.ndarray:
        values = np.full((3, 3), 0.8)
        values[i, j] = values[j, i] = 0.3
        np.fill_diagonal(values, 0.0)
        return values

    resampled = np.stack([near(0, 1)] * 7 + [near(1, 2)] * 4 + [near(0, 2)] * 2)
    tree = cluster_models(distances_of(near(0, 1)), resampled=resampled)
    assert [clade.support for clade in tree.clades] == [pytest.approx(7 / 13), 1.0]


def test_families_are_supported_and_order_within_them_is_not(rng: np.random.Generator):
    values = families(rng, (5, 7), spread=0.0)
    resampled = np.stack([families(rng, (5, 7)) for _ in range(40)])
    tree = cluster_models(distances_of(values), resampled=resampled)
    support = {frozenset(clade.models): clade.support for clade in tree.clades}
    whole = [frozenset(f"model-{place}" for place in places) for places in (range(5), range(5, 12))]
    assert [support.pop(group) for group in (*whole, whole[0] | whole[1])] == [1.0] * 3
    assert max(support.values()) < 0.5


# one model, two models


def test_one_model_is_a_tree():
    tree = cluster_models(distances_of(np.zeros((1, 1)), ("only one",)), resampled=np.zeros((3, 1, 1)))
    assert (tree.order, tree.clades, tree.cophenetic_correlation) == (("only one",), (), None)
    assert tree.linkage.shape == (0, 4)
    assert tree.newick() == "'only one';"
    assert tree.groups(1) == (("only one",),)
    assert tree.groups(height=3.0) == (("only one",),)
    assert [line.strip() for line in tree.lines(40)] == ["only one", "0" + " " * 29 + "0"]


def test_two_models_are_a_tree():
    tree = cluster_models(distances_of(np.array([[0, 0.5], [0.5, 0]]), ("a", "b")))
    assert tree.newick() == "(a:0.25,b:0.25);"
    assert tree.cophenetic_correlation is None
    assert tree.groups(2) == (("a",), ("b",))
    assert tree.lines(21) == ["a " + "-" * 18 + "+", "b " + "-" * 18 + "+", "  0" + "0.5".rjust(18)]


def test_equal_distances_give_a_tree_without_a_correlation():
    values = np.full((5, 5), 0.4)
    np.fill_diagonal(values, 0.0)
    assert cluster_models(distances_of(values)).cophenetic_correlation is None


# Newick


@pytest.mark.parametrize("method", sorted(LINKAGES))
def test_a_written_tree_reads_back_with_its_heights(rng: np.random.Generator, method: str):
    tree = cluster_models(distances_of(random_distances(rng, 11)), method=method)
    root = parsed(tree.newick())
    found = {
        frozenset(name for name, _ in leaves_of(node)): leaves_of(node) for node in inner_nodes(root)
    }
    assert set(found) == {frozenset(clade.models) for clade in tree.clades}
    for clade in tree.clades:
        # two leaves are as far from each other as the height at which they meet
        for _, way in found[frozenset(clade.models)]:
            assert 2 * way == pytest.approx(clade.height, rel=1e-8)


def test_names_are_quoted_where_the_format_needs_it(rng: np.random.Generator):
    names = (
        *("plain-name.1/x+y", "two words", "it's", "a(b)", "a,b", "a:b", "a;b", "[comment]"),
        *("under_score", "'quoted'", "", "Größe"),
    )
    tree = cluster_models(distances_of(random_distances(rng, len(names)), names))
    text = tree.newick()
    assert {name for name, _ in leaves_of(parsed(text))} == set(names)
    assert "plain-name.1/x+y:" in text
    assert "'it''s':" in text
    assert "'under_score':" in text  # without quotes it would be read as a blank


def test_support_labels_the_inner_nodes(rng: np.random.Generator):
    values = families(rng, (3, 4), spread=0.0)
    resampled = np.stack([families(rng, (3, 4)) for _ in range(30)])
    tree = cluster_models(distances_of(values), resampled=resampled)
    found = {
        frozenset(name for name, _ in leaves_of(node)): node[0]
        for node in inner_nodes(parsed(tree.newick()))
    }
    for clade in tree.clades:
        assert float(found[frozenset(clade.models)]) == pytest.approx(clade.support, abs=1e-3)


# the drawing


def test_the_drawing_has_a_line_for_each_model_and_a_scale(rng: np.random.Generator):
    tree = cluster_models(distances_of(families(rng, (3, 4))))
    lines = tree.lines(60)
    assert len(lines) == 8
    assert all(len(line) <= 60 for line in lines)
    assert [line.split()[0] for line in lines[:-1]] == list(tree.order)
    assert lines[-1].split() == ["0", f"{tree.clades[-1].height:.3g}"]
    assert set("".join(line[8:] for line in lines[:-1])) <= set("-+| ")


def test_the_drawing_shows_heights_to_scale():
    values = np.array([[0, 0.25, 1.0], [0.25, 0, 1.0], [1.0, 1.0, 0]])
    tree = cluster_models(distances_of(values, ("a", "b", "c")))
    drawn = {line[0]: line for line in tree.lines(2 + 41)}
    assert drawn["c"] == "c " + "-" * 40 + "+"
    assert {drawn["a"][:13], drawn["b"][:13]} == {"a " + "-" * 10 + "+", "b " + "-" * 10 + "+"}
    # the first of the two goes on to the root
    assert sorted(len(drawn[name]) for name in "ab") == [13, 43]


def test_too_narrow_a_drawing_is_an_error(rng: np.random.Generator):
    tree = cluster_models(distances_of(random_distances(rng, 3)))
    with pytest.raises(ParameterError) as caught:
        tree.lines(26)
    assert caught.value.message == (
        "a drawing of these models needs at least 27 characters a line; got 26"
    )
    assert tree.lines(27)


# errors


def test_an_unknown_linkage_is_an_error_with_the_known_ones(rng: np.random.Generator):
    with pytest.raises(ParameterError) as caught:
        cluster_models(distances_of(random_distances(rng, 3)), method="ward")
    assert caught.value.message == (
        "method must be one of average, weighted, complete, single; got 'ward'"
    )
    assert "Euclidean" in caught.value.hint


@pytest.mark.parametrize("shape", [(0, 3, 3), (5, 2, 2)])
def test_resamples_of_other_models_are_an_error(rng: np.random.Generator, shape: tuple[int, ...]):
    with pytest.raises(ParameterError) as caught:
        cluster_models(distances_of(random_distances(rng, 3)), resampled=np.zeros(shape))
    assert caught.value.message == (
        "resampled must be (resamples, models, models) of the 3 models, at least one resample; got "
        f"{shape}"
    )


def test_resamples_that_are_no_distances_are_an_error(rng: np.random.Generator):
    values = random_distances(rng, 3)
    resampled = np.stack([values, values])
    resampled[1, 0, 2] = 7.0
    with pytest.raises(ParameterError, match="^resampled distances are not symmetric$"):
        cluster_models(distances_of(values), resampled=resampled)


def test_groups_by_number_or_height_but_not_both(rng: np.random.Generator):
    tree = cluster_models(distances_of(random_distances(rng, 3)))
    for n, height in ((None, None), (2, 0.5)):
        with pytest.raises(ParameterError) as caught:
            tree.groups(n, height=height)
        assert caught.value.message == (
            f"groups: give either n or height; got n = {n}, height = {height}"
        )
    for n in (0, 4):
        with pytest.raises(ParameterError) as caught:
            tree.groups(n)
        assert caught.value.message == f"groups: n must be from 1 to 3, the models; got {n}"


# published matrices (Wolfram & Schein's own, see shared/reference/README.md)


def published(folder: Path, name: str) -> AffinityMatrices:
    """Give the matrices of the paper's 24 models, without the embedding layer."""
    with np.load(folder / "reference" / "affinity" / f"{name}.npz") as arrays:
        counts = {
            tuple(key.split("|")): arrays[key][1:, 1:] for key in arrays.files if "gpt2" not in key
        }
    models = tuple(dict.fromkeys(model for pair in counts for model in pair))
    counts |= {(right, left): values.T for (left, right), values in counts.items() if left != right}
    layers = tuple(len(counts[model, model]) for model in models)
    return AffinityMatrices(
        values=np.block([[counts[left, right] for right in models] for left in models]) / (10 * 2048),
        left=models,
        right=models,
        left_layers=layers,
        right_layers=layers,
        is_symmetric=True,
        measure="mutual_knn",
        k=10,
        n_texts=2048,
    )


def test_published_families_come_together(shared: Path):
    tree = cluster_models(model_distances(published(shared, "web_text_k10")))
    groups = [{model.split("/")[1] for model in clade.models} for clade in tree.clades]
    assert len(tree.models) == 24
    for family in (
        {"Llama-3.1-70B", "Llama-3.1-70B-Instruct", "Llama-3.3-70B-Instruct"},
        {"Mistral-7B-v0.3", "Mixtral-8x7B-v0.1", "Mistral-Nemo-Base-2407"},
        {"Phi-3-mini-4k-instruct", "Phi-3.5-mini-instruct", "Phi-3-medium-4k-instruct"},
        {"gemma-2b", "gemma-7b", "gemma-2-2b", "gemma-2-9b", "gemma-2-9b-it"},
        {"falcon-40b", "falcon-11B"},
    ):
        assert family in groups
    # the language side of the vision model is the model that it was made from
    nearest = {model.split("/")[1] for model in tree.clades[0].models}
    assert nearest == {"Llama-3.2-11B-Vision", "Meta-Llama-3.1-8B-Instruct"}
    # and two are like no others
    assert {group[0].split("/")[1] for group in tree.groups(3) if len(group) == 1} == {
        *("falcon-mamba-7b", "gemma-2-27b"),
    }
    assert tree.cophenetic_correlation == pytest.approx(0.916, abs=0.001)
