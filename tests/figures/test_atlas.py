import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure

from isodepth.affinity import MEASURES, AffinityMatrices, all_affinities
from isodepth.assessment import AssessmentOptions, StudyAssessment, TextSetAssessment, assess_text_set
from isodepth.errors import UnknownNameError
from isodepth.figures import AtlasFigure, study_atlas
from isodepth.figures.entries import file_stem, pair_stem
from isodepth.neighbors import Neighbors
from isodepth.results import Evidence, EvidenceKey, MatrixKind, StudyResults, TextSetResults
from isodepth.texts import Pairing, TextSet
from model_measures import of_models

pytestmark = pytest.mark.usefixtures("no_collections")

QUICK = AssessmentOptions(n_permutations=19, n_resamples=100, seed=7)
LEFT, MIDDLE, RIGHT = "_first $x_1$", "second<&>", "third-模型"
ODD_LABELS = [
    "../../etc/passwd",
    "/absolute",
    "..",
    "",
    "A",
    "a",
    "模型",
    "模型 ",
    "x" * 300,
    "a-x-b",
    "index.md",
    "across",
    "con\nline",
    file_stem("A"),
]


def alone(name: str, matrices: AffinityMatrices) -> TextSetAssessment:
    """Return statistics of matrices without neighbors."""
    kind = MatrixKind(matrices.measure, matrices.k)
    return assess_text_set(name, kind, matrices, options=QUICK)


def study_of(*sets: TextSetAssessment) -> StudyAssessment:
    return StudyAssessment(name="study", sets=sets, options=QUICK)


def results_of(*sets: TextSetAssessment, **descriptions: dict) -> StudyResults:
    """Return the results that statistics are of."""
    found: dict[str, TextSetResults] = {}
    for one in sets:
        before = found[one.name].matrices if one.name in found else {}
        found[one.name] = TextSetResults(
            name=one.name,
            matrices={**before, one.kind: one.matrices},
            description=descriptions.get(one.name, {}),
        )
    return StudyResults(name="study", sets=found, manifest={})


def atlas_of(
    *sets: TextSetAssessment, descriptions: dict | None = None, **options
) -> list[AtlasFigure]:
    return study_atlas(study_of(*sets), results_of(*sets, **(descriptions or {})), **options)


def names_of(atlas: list[AtlasFigure]) -> list[str]:
    return [one.name for one in atlas]


def last_parts(atlas: list[AtlasFigure]) -> set[str]:
    return {one.name.rsplit("/", 1)[1] for one in atlas}


def drawn(atlas: list[AtlasFigure], ending: str) -> Figure:
    """Return the first figure whose name ends so."""
    return next(one for one in atlas if one.name.endswith(ending)).draw()


def words_of(figure: Figure) -> str:
    found = [
        text.get_text() for text in figure.findobj(match=lambda artist: hasattr(artist, "get_text"))
    ]
    return " ".join(" ".join(found).split())


@pytest.fixture(scope="module")
def parallel(planted_neighbors: list[Neighbors]) -> TextSetAssessment:
    """Models that read one text set, and the same that read a translation."""
    left = [replace(one, texts_digest="a") for one in planted_neighbors[:2]]
    right = [replace(one, texts_digest="b") for one in planted_neighbors[:2]]
    matrices = all_affinities(left, right=right, k=5, pairing=Pairing(left="a", right="b"))
    return alone("en x de", matrices)


@pytest.fixture(scope="module")
def noise(planted_matrices: AffinityMatrices) -> TextSetAssessment:
    return alone("noise", planted_matrices)


@pytest.fixture(scope="module")
def evidence(planted_neighbors: list[Neighbors]) -> Evidence:
    return Evidence(
        left={str(one.model): one for one in planted_neighbors},
        texts=TextSet.of([f"text number {row}" for row in range(1, 62)], name="planted texts"),
    )


@pytest.fixture(scope="module")
def full(
    from_texts: TextSetAssessment,
    noise: TextSetAssessment,
    parallel: TextSetAssessment,
    evidence: Evidence,
) -> list[AtlasFigure]:
    """The figures of a text set with neighbors, of random strings and of parallel texts."""
    return atlas_of(
        from_texts,
        noise,
        parallel,
        descriptions={
            "noise": {"texts": {"provenance": {"source": "generated"}}},
            "en x de": {"texts": {"name": "English"}, "right_texts": {"name": "German"}},
        },
        evidence={EvidenceKey("planted texts", "block", "last"): evidence},
        groups={"one": [LEFT, MIDDLE], "nobody here": ["unknown"]},
    )


# which figures


def test_every_figure_of_the_paper_has_a_counterpart(
    full: list[AtlasFigure], planted_matrices: AffinityMatrices
) -> None:
    tuned = replace(planted_matrices, left=("m", "m-it", "n"), right=("m", "m-it", "n"))
    others = atlas_of(alone("web-text", tuned), alone("ifeval", tuned), pairs=[("m-it", "m")])
    said = {part for one in (*full, *others) if one.paper is not None for part in one.paper.split(", ")}
    wanted = "1 2 3 4a 4b 4c 5a 5b 5c 6a 6b 7 8 9a-c 10 11 12-19 20-27"
    assert said == set(wanted.split())


def test_figures_of_base_and_tuned_are_said_to_be_so(planted_matrices: AffinityMatrices) -> None:
    models = ("m", "m-it", "n")
    matrices = replace(planted_matrices, left=models, right=models)
    sets = alone("web-text", matrices), alone("ifeval", matrices)
    atlas = atlas_of(*sets, pairs=[("m", "m-it"), ("m", "n")])
    papers = {one.name: one.paper for one in atlas}
    assert papers["across/m-x-m-it/text-sets"] == "8"
    assert papers["across/m-x-n/text-sets"] is None
    assert papers["web-text/m-x-m-it/matrix"] == "4a, 4b, 6a, 8"
    assert papers["web-text/m-x-n/matrix"] == "4a, 4b, 6a"


def test_every_figure_can_be_drawn(full: list[AtlasFigure]) -> None:
    by_last_part = {one.name.rsplit("/", 1)[1]: one for one in reversed(full)}
    assert " ".join(sorted(by_last_part)) == (
        "array array-equal calibrated confounds depth-map k-sweep layers match-depth match-similarity "
        "matrix null-density on-off panels profile text-sets tree unit-square venn-apart venn-early "
        "venn-late z"
    )
    for one in by_last_part.values():
        figure = one.draw()
        assert isinstance(figure, Figure)
        assert figure.axes, one.name


def test_each_figure_has_a_name_of_its_own_that_is_safe(full: list[AtlasFigure]) -> None:
    names = names_of(full)
    assert len({name.lower() for name in names}) == len(names)
    for name in names:
        assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]*(/[a-z0-9_][a-z0-9._-]*)+", name), name


def test_random_strings_are_known_by_origin_whatever_their_name(full: list[AtlasFigure]) -> None:
    nines = [one.name for one in full if one.paper == "9a-c"]
    assert "noise/panels" in nines
    assert {name.split("/")[0] for name in nines} == {"noise"}
    assert len(drawn(full, "noise/panels").axes) == 3 + 1  # and a color scale


def test_parallel_texts_say_what_either_model_read(full: list[AtlasFigure]) -> None:
    (first, *_) = [one for one in full if one.paper == "7"]
    assert first.name.startswith(f"{file_stem('en x de')}/")
    assert re.search("reading English ×.* reading German", words_of(first.draw()))


def test_arrays_say_which_side_read_which_of_parallel_texts(full: list[AtlasFigure]) -> None:
    folder = file_stem("en x de")
    for name in ("array", "array-equal"):
        said = " ".join(words_of(drawn(full, f"{folder}/{name}")).split())
        assert "reading English (left, rows)" in said
        assert "reading German (right, columns)" in said


def test_every_figure_of_two_models_says_which_of_them_read_which_of_parallel_texts(
    full: list[AtlasFigure],
) -> None:
    folder = next(one.name for one in full if one.paper == "7").rsplit("/", 1)[0]
    of_pair = [one for one in full if one.name.startswith(f"{folder}/")]
    assert {one.name.rsplit("/", 1)[1] for one in of_pair} >= {"layers", "depth-map", "profile", "z"}
    for one in of_pair:
        said = words_of(one.draw())
        assert "reading English" in said, one.name
        assert "reading German" in said, one.name


def test_without_neighbors_there_are_no_venns_and_no_sweeps(
    full: list[AtlasFigure], noise: TextSetAssessment
) -> None:
    of_neighbors = {"venn-early", "venn-late", "venn-apart", "k-sweep"}
    assert of_neighbors <= last_parts(full)
    assert not of_neighbors & last_parts(atlas_of(noise))


def test_texts_that_are_not_at_hand_are_not_quoted(
    from_texts: TextSetAssessment, evidence: Evidence
) -> None:
    found = {EvidenceKey("planted texts", "block", "last"): replace(evidence, texts=None)}
    parts = last_parts(atlas_of(from_texts, evidence=found))
    assert "k-sweep" in parts
    assert "venn-late" not in parts


def test_a_sweep_has_the_ks_of_results_and_of_the_paper_as_far_as_stored(
    from_texts: TextSetAssessment, evidence: Evidence, planted_neighbors: list[Neighbors]
) -> None:
    found = {EvidenceKey("planted texts", "block", "last"): evidence}
    atlas = atlas_of(from_texts, evidence=found, pairs=[(LEFT, MIDDLE)])
    (sweep,) = [one for one in atlas if one.name.endswith("/k-sweep")]
    assert sweep.caption == "The matrix at k = 1, 5, 10"
    images = [axes.images[0].get_array() for axes in sweep.draw().axes if axes.images]
    for k, image in zip((1, 5, 10), images, strict=True):
        wanted = all_affinities(planted_neighbors, k=k)[LEFT, MIDDLE].values
        np.testing.assert_allclose(np.asarray(image), wanted, atol=1e-12)


def test_a_venn_shows_corresponding_layers_of_each_half_and_layers_apart(
    full: list[AtlasFigure], from_texts: TextSetAssessment, evidence: Evidence
) -> None:
    values = from_texts.matrices[LEFT, RIGHT].values
    early = np.unravel_index(values[:6].argmax(), (6, 11))
    late = np.unravel_index(values[6:].argmax(), (7, 11))
    layers = {
        "venn-early": (early[0] + 1, early[1] + 1),
        "venn-late": (late[0] + 7, late[1] + 1),
        "venn-apart": (early[0] + 1, late[1] + 1),
    }
    place = f"planted-texts-{file_stem('planted texts')[-8:]}/{pair_stem(LEFT, RIGHT)}"
    for name, (left, right) in layers.items():
        said = words_of(drawn(full, f"{place}/{name}"))
        assert f"under {LEFT}, layer {left} and under {RIGHT}, layer {right}" in said
    shared = sorted(
        len({*one} & {*other})
        for one, other in zip(
            evidence.left[LEFT].ids[early[0], :, :5].tolist(),
            evidence.left[RIGHT].ids[early[1], :, :5].tolist(),
            strict=True,
        )
    )
    assert f"{shared[30]} of k = 5 are shared" in words_of(drawn(full, f"{place}/venn-early"))


def test_families_that_are_there_arrange_the_arrays(full: list[AtlasFigure]) -> None:
    said = words_of(drawn(full, "/array"))
    assert "one" in said.split()
    assert "nobody" not in said


# several kinds of matrices


def test_several_kinds_have_folders_of_their_own(
    planted_neighbors: list[Neighbors], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutual = MEASURES["mutual_knn"]
    squared = of_models(lambda left, right: mutual(left, right, left.shape[2]) ** 2)
    monkeypatch.setitem(MEASURES, "squared", squared)
    sets = [
        alone(name, all_affinities(planted_neighbors, k=k, measure=measure))
        for name in ("noise", "web-text")
        for k, measure in ((5, "mutual_knn"), (7, "mutual_knn"), (5, "squared"))
    ]
    atlas = atlas_of(*sets, pairs=[(RIGHT, MIDDLE)])
    names = names_of(atlas)
    assert len(set(names)) == len(names)
    pair = pair_stem(MIDDLE, RIGHT)
    for folder in ("mutual_knn-k5", "mutual_knn-k7", "squared-k5"):
        assert {f"noise/{folder}/array", f"web-text/{folder}/{pair}/matrix"} <= {*names}
        assert f"across/{pair}/{folder}/text-sets" in names
    assert {f"across/{pair}/confounds-{measure}" for measure in ("mutual_knn", "squared")} <= {*names}
    said = words_of(drawn(atlas, "/confounds-mutual_knn"))
    assert "web-text, mutual_knn, k = 7" in said
    assert "squared" not in said
    # chance is known of mutual k-NN alone
    of_chance = [
        name for name in names if name.rsplit("/", 1)[1] in ("z", "calibrated", "null-density")
    ]
    assert of_chance
    assert not any("squared" in name for name in of_chance)


def test_a_directed_measure_has_figures_of_either_order(planted_matrices: AffinityMatrices) -> None:
    shape = planted_matrices.values.shape
    values = planted_matrices.values + np.random.default_rng(3).uniform(0, 0.1, size=shape)
    directed = replace(planted_matrices, values=values, measure="ridge_to_right", k=0, metric=None)
    sets = (alone("noise", planted_matrices), alone("noise", directed))
    atlas = atlas_of(*sets, pairs=[(RIGHT, LEFT)])
    matrices = [one for one in atlas if one.name.endswith("/matrix")]
    both = [(LEFT, RIGHT), (RIGHT, LEFT)]
    assert {one.name for one in matrices} == {
        f"noise/mutual_knn-k5/{pair_stem(LEFT, RIGHT)}/matrix",
        *(f"noise/ridge_to_right-k0/{pair_stem(*pair)}/matrix" for pair in both),
    }
    for pair in both:
        figure = drawn(atlas, f"noise/ridge_to_right-k0/{pair_stem(*pair)}/matrix")
        image = figure.axes[0].images[0].get_array()
        np.testing.assert_array_equal(image, directed[pair].values)


def test_orders_of_two_models_that_differ_between_text_sets_are_one_pair(
    planted_matrices: AffinityMatrices,
) -> None:
    turned = planted_matrices.of([RIGHT, MIDDLE, LEFT])
    atlas = atlas_of(alone("one", planted_matrices), alone("two", turned), pairs=[(LEFT, RIGHT)])
    (both,) = [one for one in atlas if one.name.endswith("/text-sets")]
    shapes = [axes.images[0].get_array().shape for axes in both.draw().axes if axes.images]
    assert shapes == [(13, 11), (13, 11)]
    assert len([one for one in atlas if one.name.endswith("/matrix")]) == 2


def test_a_copy_of_a_model_gives_a_noise_ceiling(planted_neighbors: list[Neighbors]) -> None:
    first, second, _ = planted_neighbors
    copies = [replace(first, model=f"m (batches of {n} tokens)") for n in range(2, 10)]
    one = alone("web-text", all_affinities([replace(first, model="m"), second, *copies], k=5))
    atlas = atlas_of(one)
    (ceiling,) = [found for found in atlas if "ceiling" in found.name]
    assert ceiling.name == "web-text/noise-ceiling-m"
    labels = [text.get_text() for text in ceiling.draw().axes[0].get_legend().get_texts()]
    assert sum("itself" in label for label in labels) == 7  # as many as can be told apart


# small and odd results


def test_models_of_one_layer_have_what_can_be_drawn_of_them(
    planted_neighbors: list[Neighbors],
) -> None:
    thin = [
        replace(one, ids=one.ids[:1], similarities=one.similarities[:1]) for one in planted_neighbors
    ]
    one = alone("web-text", all_affinities(thin[:2], k=5))
    texts = TextSet.of([f"text number {row}" for row in range(1, 62)])
    found = Evidence(left={str(side.model): side for side in thin}, texts=texts)
    atlas = atlas_of(one, evidence={EvidenceKey("web-text", "block", "last"): found})
    assert "on-off" not in last_parts(atlas)
    venns = [figure for figure in atlas if "venn" in figure.name]
    assert [figure.name.rsplit("/", 1)[1] for figure in venns] == ["venn-late"]
    for figure in (*venns, *(one for one in atlas if one.name.endswith(("profile", "depth-map")))):
        assert figure.draw().axes
    said = words_of(drawn(atlas, "/null-density"))
    assert "61 texts of web-text" in said
    assert "lowest mean of a pair:" in said
    assert "highest" not in said


def test_texts_that_are_all_neighbors_leave_nothing_to_chance(
    planted_neighbors: list[Neighbors],
) -> None:
    few = np.array([[[1, 2], [0, 2], [0, 1]]], dtype=np.int32)
    certain = [
        replace(one, ids=few, similarities=np.zeros(few.shape, np.float32)) for one in planted_neighbors
    ]
    parts = last_parts(atlas_of(alone("web-text", all_affinities(certain, k=2))))
    assert "matrix" in parts
    assert not {"z", "calibrated", "null-density", "tree"} & parts


def test_one_model_alone_has_no_figures(planted_matrices: AffinityMatrices) -> None:
    assert atlas_of(alone("web-text", planted_matrices.of([LEFT]))) == []


def test_models_of_no_results_are_refused(noise: TextSetAssessment) -> None:
    with pytest.raises(UnknownNameError, match="no matrices are of 'secnd'"):
        atlas_of(noise, pairs=[(LEFT, "secnd")])


# names of files


def test_plain_names_are_kept() -> None:
    for name in ("gemma-2-9b", "llama-3.1-70b", "final_norm", "a"):
        assert file_stem(name) == name
    assert pair_stem("gemma-2-9b", "llama-3.1-8b") == "gemma-2-9b-x-llama-3.1-8b"


def test_odd_names_are_short_safe_and_told_apart() -> None:
    stems = [file_stem(label) for label in ODD_LABELS]
    assert len({stem.lower() for stem in stems}) == len(ODD_LABELS)
    for stem in stems:
        assert re.fullmatch(r"[a-z0-9_][a-z0-9._-]{0,48}", stem), stem
    assert not {"index.md", "across"} & {*stems}


def test_two_pairs_never_share_a_name() -> None:
    labels = [*ODD_LABELS, "b", "x", "b-x-c", "c"]
    pairs = [(left, right) for left in labels for right in labels]
    assert len({pair_stem(*pair) for pair in pairs}) == len(pairs)
