"""What does a report's page hold? Everything that it shows, as one JSON object.

The page itself computes nothing that statistics are needed for: matrices, intervals and verdicts are
those of the assessment; of neighbor lists it counts the shared ones.

Text sets are told apart by measure, capture and pooling as well. What differs in k alone is one set
with several matrices; verdicts, intervals and depth maps are those of one k, 10 where it was assessed.

>>> payload = report_payload(assessed, results=results, evidence=evidence)      # doctest: +SKIP
>>> payload["sets"][0]["pairs"][0]["verdict"]                                   # doctest: +SKIP
'depth-matched'

Memory: what it holds, some 8 bytes a layer pair and k, and 2 bytes a neighbor that is explained.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy

from isodepth.affinity import AffinityMatrices
from isodepth.affinity.measures import CHANCE_KNOWN, measure_title, unusual_reading
from isodepth.assessment import StudyAssessment, TextSetAssessment
from isodepth.report.explained import (
    AUTOMATIC,
    EmbeddedTexts,
    Explain,
    Explained,
    described,
    explained_models,
)
from isodepth.report.packing import estimate, number, packed
from isodepth.report.pairs import described_pairs, packed_errors, packed_maps
from isodepth.report.provenance import caveats, method, provenance
from isodepth.report.sentences import three_sentences
from isodepth.report.similarities import MOST_SWEPT, blocks_of, n_layer_pairs, similarities
from isodepth.results import Evidence, EvidenceKey, StudyResults, evidence_key
from isodepth.statistics import PROFILE, ModelTree, UnitSquareMean, mean_on_unit_square
from isodepth.statistics.decision import LEAST_P
from isodepth.statistics.depth_map import TRUSTED_DISAGREEMENT
from isodepth.statistics.profile_names import PROFILE_SCALES

FORMAT = "isodepth report"
FORMAT_VERSION = 1
MAIN_K = 10
"""Of several k, the one whose verdicts are shown, if it was assessed."""
SQUARE_BINS = 40


def report_payload(
    assessed: StudyAssessment,
    *,
    results: StudyResults,
    evidence: Mapping[EvidenceKey, Evidence] | None = None,
    explain: Explain = AUTOMATIC,
) -> dict[str, Any]:
    """Return everything that a report's page shows, as JSON values.

    Parameters
    ----------
    assessed : StudyAssessment
        The statistics of the text sets that are shown.
    results : StudyResults
        What was assessed: matrices at every k, and what is known of texts and models.
    evidence : mapping from EvidenceKey to Evidence, optional
        Neighbors and texts behind the matrices, as far as they are at hand. With them there are
        neighbor lists, and matrices at further k where the report has at most `MOST_SWEPT` layer pairs.
    explain : "auto", "all", "none", or sequence of (str, str)
        Of which models the neighbor lists go in; see `explained_models`.

    Raises
    ------
    ParameterError, UnknownNameError
        If `explain` cannot be used, or the results lack a text set that was assessed.
    """
    found = evidence or {}
    groups = _groups(assessed)
    shown = [_main(group) for group in groups]
    chosen = explained_models(shown, found, explain=explain)
    texts = EmbeddedTexts()
    is_swept = sum(n_layer_pairs(one.matrices) for one in shown) <= MOST_SWEPT
    sets = [
        _described(one, results, found, chosen, texts, is_swept=is_swept, level=assessed.options.level)
        for one in shown
    ]
    options = assessed.options
    return {
        "format": FORMAT,
        "version": FORMAT_VERSION,
        "name": assessed.name,
        "title": f"{assessed.name}: which layers lie at the same depth?",
        "sentences": list(three_sentences(shown, results, options)),
        "method": method(shown, options),
        "caveats": caveats(shown, results, options),
        "provenance": provenance(shown, results),
        "profile_parts": dict(PROFILE),
        "profile_scales": PROFILE_SCALES,
        "level": options.level,
        "reach": float(scipy.special.ndtri((1 + options.level) / 2)),
        "alpha": options.alpha,
        "least_p": LEAST_P,
        "trusted_disagreement": TRUSTED_DISAGREEMENT,
        "n_permutations": options.n_permutations,
        "n_resamples": options.n_resamples,
        "seed": options.seed,
        "texts": texts.described(),
        "sets": sets,
    }


def _groups(assessed: StudyAssessment) -> list[list[TextSetAssessment]]:
    """Return assessments that differ in k alone together, in the order in which they come."""
    groups: dict[tuple[str, str, str, str], list[TextSetAssessment]] = {}
    for one in assessed.sets:
        kind = one.kind
        groups.setdefault((one.name, kind.measure, kind.capture, kind.pooling), []).append(one)
    return list(groups.values())


def _main(group: Sequence[TextSetAssessment]) -> TextSetAssessment:
    """Return the assessment whose verdicts are shown."""
    return next((one for one in group if one.kind.k == MAIN_K), group[0])


def _described(
    one: TextSetAssessment,
    results: StudyResults,
    evidence: Mapping[EvidenceKey, Evidence],
    chosen: Explained,
    texts: EmbeddedTexts,
    *,
    is_swept: bool,
    level: float,
) -> dict[str, Any]:
    matrices, kind = one.matrices, one.kind
    key = evidence_key(one.name, kind)
    of_set = results[one.name]
    known = {
        other.k: found
        for other, found in of_set.matrices.items()
        if other._replace(k=kind.k) == kind and _has_same_cells(found, matrices)
    }
    # shared neighbors tell of no other measure
    at_hand = evidence.get(key) if kind.measure == CHANCE_KNOWN else None
    blocks = blocks_of(matrices)
    ks = similarities({**known, kind.k: matrices}, at_hand, is_swept=is_swept)
    order = _places(one.tree, matrices)
    return {
        "name": one.name,
        "left_name": of_set.texts_read[0],
        "right_name": of_set.texts_read[1],
        "n_texts": matrices.n_texts,
        "measure": kind.measure,
        "measure_name": ", ".join(
            [
                measure_title(kind.measure),
                *unusual_reading(matrices.metric, matrices.preprocessing),
            ]
        ),
        "capture": kind.capture,
        "pooling": kind.pooling,
        "symmetric": matrices.is_symmetric,
        "mirrored": matrices.is_mirrored,
        "left": list(matrices.left),
        "right": list(matrices.right),
        "left_layers": list(matrices.left_layers),
        "right_layers": list(matrices.right_layers),
        "order": order,
        "right_order": order if matrices.is_symmetric else list(range(len(matrices.right))),
        "from_texts": one.is_from_texts,
        "notes": [*one.notes, *_more_notes(at_hand, chosen)],
        "blocks": [list(block) for block in blocks],
        "ks": ks,
        "main": [entry["k"] for entry in ks].index(kind.k),
        "pairs": described_pairs(
            one, {block: place for place, block in enumerate(blocks)}, level=level
        ),
        "maps": packed_maps(one.pairs),
        "errors": packed_errors(one.pairs),
        "mean_square": _mean_square(one),
        "zoo": {
            part: {
                "mean": estimate(test.mean),
                "p_value": number(test.p_value),
                "n_pairs": test.n_pairs,
                "n_units": test.mean.n,
                "resampled": test.mean.resampled,
            }
            for part, test in one.zoo.items()
        },
        "tree": None if one.tree is None else _described_tree(one.tree),
        "explain": described(key, at_hand, chosen, texts),
    }


def _has_same_cells(one: AffinityMatrices, other: AffinityMatrices) -> bool:
    """Return whether matrices are of the same layers on as many texts, as imported ones need not be."""
    names = ("left", "right", "left_layers", "right_layers", "is_symmetric", "n_texts")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _places(tree: ModelTree | None, matrices: AffinityMatrices) -> list[int]:
    """Return the places of left labels in the order in which like models stand side by side."""
    if tree is None:
        return list(range(len(matrices.left)))
    return [matrices.left.index(label) for label in tree.order]


def _more_notes(evidence: Evidence | None, chosen: Explained) -> list[str]:
    """Return what of the evidence is not in the page, and why."""
    notes = [] if evidence is None else list(evidence.notes)
    if chosen.left_out_bytes and evidence is not None:
        notes.append(
            f"the neighbor lists of all models would take {chosen.left_out_bytes / 1e6:.3g} MB and are "
            "not in this page; isodepth report --explain LEFT,RIGHT puts in those of a pair of models"
        )
    return notes


def _mean_square(one: TextSetAssessment) -> dict[str, Any] | None:
    if one.mean_square is None:
        return None
    square: UnitSquareMean = mean_on_unit_square(
        [pair.matrix.values for pair in one.pairs],
        n_bins=SQUARE_BINS,
        both_orders=one.mean_square.both_orders,
    )
    return {
        "n_bins": SQUARE_BINS,
        "values": packed(square.values, as_type="f32"),
        "n_matrices": square.n_matrices,
        "both_orders": square.both_orders,
    }


def _described_tree(tree: ModelTree) -> dict[str, Any]:
    return {
        "order": list(tree.order),
        "models": list(tree.models),
        "linkage": np.asarray(tree.linkage).tolist(),
        "support": [number(clade.support) for clade in tree.clades],
    }
