"""How did a report's numbers come about, and what must a reader mind? In plain words.

Memory: none to speak of.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from isodepth.affinity.measures import CHANCE_KNOWN, measure_source, measure_title
from isodepth.assessment import AssessmentOptions, TextSetAssessment
from isodepth.errors import listed
from isodepth.report.sentences import is_control
from isodepth.results import StudyResults

FEW_TEXTS = 500
MOST_TITLES = 6
"""Of measures in one sentence; the others are counted."""
METHOD_OF_READING = (
    "Every text is read by every model. At the end of each decoder block the activation of a text is "
    "taken. "
)
METHOD_OF_MUTUAL_KNN = (
    "Its k nearest other texts {near} are its neighbors at that layer. The similarity of two layers is "
    "the share of neighbors that they have in common, averaged over the texts (mutual k-NN): 1 for "
    "identical neighborhoods, k / (number of texts - 1) by chance. "
)
METHOD_OF_MATRICES = (
    "An affinity matrix holds the similarity of every layer of one model to every layer of another "
    "(Wolfram & Schein, arXiv 2504.08775)."
)
NEAR = {
    "cosine": "by cosine similarity",
    "euclidean": "by Euclidean distance",
    "correlation": "by the correlation of their units",
    "inner_product": "by inner product",
}
METHOD_OF_DIAGONAL = (
    "The generalized diagonal holds the pairs of layers that a monotone stretch of the shorter model "
    "onto the longer can reach. The paper's test compares the cells on it with those off it; cells are "
    "not independent samples, and bright corners pass it as well. So the verdict asks two questions of "
    "its own: is the most similar pair of layers beyond chance, and does a ridge run through the whole "
    "of depth: order within each third, and the centers of both models more similar to each other than "
    "to either end. Each of these parts must hold by itself."
)
METHOD_OF_MAPS = (
    "A depth map is the most similar monotone path through a matrix that uses every layer of both "
    "models. There is one between any two models; where there is no ridge, it says little. Depth is "
    "the number of a layer divided by the number of layers; departures from proportional depth take "
    "middles of layers."
)


def method(sets: Sequence[TextSetAssessment], options: AssessmentOptions) -> list[str]:
    """Return how the numbers came about, a paragraph each.

    Parameters
    ----------
    sets : sequence of TextSetAssessment
        What is shown.
    options : AssessmentOptions
        How much was permuted and resampled.
    """
    paragraphs = [_method_of_similarity(sets)]
    others = _other_measures(sets)
    if others:
        titles = listed([measure_title(name) for name in others], most=MOST_TITLES)
        paragraphs.append(
            f"Layers are {'also ' * (CHANCE_KNOWN in _measures(sets))}compared by {titles}; what "
            f"{'each' if len(others) > 1 else 'it'} is stands under provenance. How far such "
            "similarities stray by chance is not known, so there are no verdicts; intervals are of "
            "means over pairs of models alone, from leaving out one model at a time."
        )
    if any(one.is_from_texts for one in sets):
        paragraphs.append(
            f"Chance is that under a random relabelling of the texts of one model: mean and standard "
            f"deviation of each pair of layers in closed form, the highest of all pairs of layers from "
            f"{options.n_permutations:,} relabellings. z is how many such standard deviations a "
            "similarity lies above chance; a calibrated similarity is 0 at chance and 1 for identical "
            f"neighborhoods. Intervals hold the truth in {100 * options.level:g} % of cases by design; "
            f"they come from {options.n_resamples:,} resamples of the texts, those of means over pairs "
            "of models from leaving out one model at a time."
        )
    if any(not one.is_from_texts and one.kind.measure == CHANCE_KNOWN for one in sets):
        paragraphs.append(
            "Where only the matrices were at hand there are no intervals of similarities; z is then by "
            "the paper's null model, which draws neighbors at random and is too narrow for real ones: "
            "read it as an order of magnitude. Verdicts widen it by what real neighborhoods were seen "
            "to widen it."
        )
    return [*paragraphs, METHOD_OF_DIAGONAL, METHOD_OF_MAPS]


def caveats(
    sets: Sequence[TextSetAssessment], results: StudyResults, options: AssessmentOptions
) -> list[str]:
    """Return what must be minded in reading the numbers.

    Parameters
    ----------
    sets : sequence of TextSetAssessment
        What is shown.
    results : StudyResults
        What is known of the texts.
    options : AssessmentOptions
        How often a verdict may be wrong.
    """
    names = list(dict.fromkeys(one.name for one in sets))
    found = [
        "Texts are the sampling unit of intervals and p-values, models that of means over pairs of "
        "models; cells of one matrix are not independent samples.",
        "The highest of many similarities is high in part by chance. Its p-value minds that, its "
        "interval does not.",
    ]
    if sum(len(one.pairs) for one in sets) > 1:
        found.append(
            f"Each verdict may be wrong in {100 * options.alpha:g} % of cases by itself; verdicts are "
            "not corrected for the number of pairs and text sets that are shown here."
        )
    if not all(one.is_from_texts for one in sets):
        found.append("From matrices alone, how far estimates may be off is not known.")
    if not any(is_control(name, results) for name in names):
        found.append(
            "No control texts, such as random strings, are among these: what models share on texts "
            "without meaning is not seen here."
        )
    few = list(dict.fromkeys(one.name for one in sets if one.matrices.n_texts < FEW_TEXTS))
    if few:
        found.append(
            f"{listed(few)}: fewer than {FEW_TEXTS:,} texts, with which a weak ridge stays undecided."
        )
    found += [f"{name}: {words}." for name, words in _stand_ins(names, results).items()]
    found += [
        f"Missing of what was wanted: {one.get('what')}, because {one.get('reason')}"
        for one in results.missing
    ]
    found.append(
        "Similarity of neighborhoods says that two layers group these texts alike. It does not say "
        "that they compute the same, and other texts may be grouped otherwise."
    )
    return found


def provenance(sets: Sequence[TextSetAssessment], results: StudyResults) -> list[list[str]]:
    """Return what is known of models, texts, and versions, as pairs of words.

    Parameters
    ----------
    sets : sequence of TextSetAssessment
        What is shown.
    results : StudyResults
        What was run.
    """
    rows: list[list[str]] = [["results", results.name]]
    for name in dict.fromkeys(one.name for one in sets):
        found = results[name]
        for said in filter(None, found.sides):
            rows.append([f"texts: {said.get('name', name)}", _texts_said(said)])
        rows += [[f"imported: {name}", _joined(one)] for one in found.description.get("imported", ())]
    rows += [
        [f"measure: {name}", f"{measure_title(name)}; {measure_source(name)}".removesuffix("; ")]
        for name in _other_measures(sets)
    ]
    rows += [[f"model: {label}", words] for label, words in _models(sets, results).items()]
    manifest = results.manifest
    rows += [[f"version: {name}", str(value)] for name, value in manifest.get("versions", {}).items()]
    rows += [["note", str(note)] for note in manifest.get("notes", ())]
    return rows


def _stand_ins(names: Sequence[str], results: StudyResults) -> dict[str, str]:
    """Return which texts stand in for others, by name."""
    found = {}
    for name in names:
        for said in results[name].sides:
            standing = str((said.get("provenance") or {}).get("standing", ""))
            if "stand-in" in standing:
                found[str(said.get("name", name))] = standing
    return found


def _texts_said(said: Mapping[str, Any]) -> str:
    told = {"texts": said.get("n_texts"), "digest": said.get("digest")}
    return _joined(told | dict(said.get("provenance") or {}))


def _models(sets: Sequence[TextSetAssessment], results: StudyResults) -> dict[str, str]:
    """Return what is known of how each model that is shown was read, by label."""
    told: dict[str, str] = {}
    names = ("model", "model_digest", "architecture", "n_layers", "dtype", "quantization")
    for one in sets:
        shown = {*one.matrices.left, *one.matrices.right}
        for reading in results[one.name].description.get("readings", ()):
            label = str(reading.get("label"))
            if label in shown:  # others were left out
                told.setdefault(label, _joined({name: reading.get(name) for name in names}))
    return told


def _joined(values: Mapping[str, Any]) -> str:
    """Return what is known as words: "texts: 256; sampling: n 256, seed 1234"."""
    told = {name: _plain(value) for name, value in values.items()}
    return "; ".join(f"{name.replace('_', ' ')}: {value}" for name, value in told.items() if value)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        told = {name: _plain(entry) for name, entry in value.items()}
        return ", ".join(f"{name.replace('_', ' ')} {entry}" for name, entry in told.items() if entry)
    if isinstance(value, (list, tuple)):
        return ", then ".join(_plain(entry) for entry in value)
    return "" if value is None else str(value)


def _method_of_similarity(sets: Sequence[TextSetAssessment]) -> str:
    """Return how similarities came about, by all measures that there are."""
    said = [METHOD_OF_READING]
    prepared = list(dict.fromkeys(one.matrices.preprocessing for one in sets))
    if prepared != ["none"]:
        said.append(f"Each layer's activations first went through: {listed(prepared, most=30)}. ")
    if CHANCE_KNOWN in _measures(sets):
        metrics = dict.fromkeys(
            one.matrices.metric or "cosine" for one in sets if one.kind.measure == CHANCE_KNOWN
        )
        near = " or ".join(NEAR.get(metric, f"by {metric}") for metric in metrics)
        said.append(METHOD_OF_MUTUAL_KNN.format(near=near))
    return "".join([*said, METHOD_OF_MATRICES])


def _measures(sets: Sequence[TextSetAssessment]) -> list[str]:
    return list(dict.fromkeys(one.kind.measure for one in sets))


def _other_measures(sets: Sequence[TextSetAssessment]) -> list[str]:
    """Return the measures that are shown besides the one that the method tells of."""
    return [name for name in _measures(sets) if name != CHANCE_KNOWN]
