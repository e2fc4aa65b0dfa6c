"""What might explain a finding away? Each such thing, as a way to find neighbors where it has no part.

A control changes one thing in how neighbors are found: the activations first, the metric, what becomes
of similarities, who may be a neighbor, or which models are read. All else stays as the study has it: a
step of preprocessing comes after the study's own, similarities are those by its metric.

`CONTROLS` has those that come with isodepth; `control_of` also takes other options of theirs.

>>> control_of("center").sentence
'The mean over texts is taken off.'
>>> control_of("different_ending(5)").kind
'exclusion'

Memory: none to speak of; `isodepth.confounds.controlled` has what applying one takes.
"""

import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from jaxtyping import Integer

from isodepth.affinity.measure import Layers
from isodepth.confounds.baselines import TEXT_BASELINES
from isodepth.confounds.candidates import (
    Candidates,
    different_endings,
    different_tokens,
    n_needed,
    same_endings,
    same_stratum,
    same_tokens,
)
from isodepth.confounds.hubs import local_scaling, mutual_proximity, refuse_unscaled
from isodepth.confounds.partial import residual_similarities
from isodepth.confounds.similarities import TextSimilarities
from isodepth.confounds.strata import length_strata
from isodepth.errors import (
    ParameterError,
    UnknownNameError,
    counted,
    listed,
    nearest_names,
)
from isodepth.neighbors.exact import check_metric
from isodepth.preprocessing import Preprocessing

KINDS = {
    "preprocessing": "what the activations go through before neighbors are sought",
    "metric": "what near means",
    "hubs": "similarities that count less toward texts that are near to all",
    "exclusion": "neighbors that share something are left out",
    "stratum": "neighbors are sought only among texts that share something",
    "baseline": "similarities less what the texts' own likeness explains",
    "copies": "models that never learned anything",
}
"""What controls change."""


Correction = Callable[[TextSimilarities], TextSimilarities]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlInputs:
    """What controls need besides activations.

    Parameters
    ----------
    texts : sequence of str
        The texts that all models read.
    k : int
        Neighbors that count.
    tokens : mapping of str to integer array (texts,)
        By model, the id of the token that each text is read at. Empty where that is not known.
    labels : mapping of str to sequence
        By what they tell ("source", "language"), a label for each text, or None where it is not known.
        Text sets carry none of single texts.
    copies : mapping of str to Layers
        By model, the activations of its untrained copy.
    metric : str
        A key of `isodepth.neighbors.METRICS`: what near means without a control of it.
    preprocessing : str
        The name of an `isodepth.preprocessing.Preprocessing`: what activations go through without a
        control, and before what a control does to them.

    Raises
    ------
    UnknownNameError
        If there is no such step of preprocessing.
    ParameterError
        If there are too few texts, there is no such metric, or tokens or labels are not one a text; all
        such are listed.
    """

    texts: Sequence[str]
    k: int
    tokens: Mapping[str, Integer[np.ndarray, " _"]] = field(default_factory=dict)
    labels: Mapping[str, Sequence[Hashable]] = field(default_factory=dict)
    copies: Mapping[str, Layers] = field(default_factory=dict)
    metric: str = "cosine"
    preprocessing: str = "none"

    def __post_init__(self) -> None:
        check_metric(self.metric)
        object.__setattr__(self, "preprocessing", Preprocessing.of(self.preprocessing).name)
        n_texts = len(self.texts)
        if self.k < 1 or n_needed(self.k) >= n_texts:
            raise ParameterError(
                f"k = {self.k} neighbors of {n_texts:,} texts: expected k >= 1 and more than "
                f"{n_needed(self.k)} texts, so that resampling has those that come next",
                hint="use a smaller k or more texts.",
            )
        found = {f"tokens of {model}": len(ids) for model, ids in self.tokens.items()}
        found |= {f"labels {name!r}": len(labels) for name, labels in self.labels.items()}
        wrong = [f"{length:,} {what}" for what, length in found.items() if length != n_texts]
        if wrong:
            raise ParameterError(f"expected one for each of {n_texts:,} texts; got {listed(wrong)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One way to find neighbors in which something has no part. Get one with `control_of`.

    Parameters
    ----------
    name : str
        What it is called.
    sentence : str
        What it does, for people.
    kind : str
        A key of `KINDS`.
    preprocessing : str
        The name of an `isodepth.preprocessing.Preprocessing`, which comes after the inputs' own.
    metric : str or None
        A key of `isodepth.neighbors.METRICS`; None for the inputs' own.
    corrected : callable, optional
        Takes the texts and the metric, and returns what turns a layer's similarities by that metric
        into others; raises `ParameterError` where it is not defined for the metric.
    candidates : callable, optional
        Takes the inputs and returns who may be whose neighbor.
    reads_copies : bool
        Whether the models' copies are read in their place.
    """

    name: str
    sentence: str
    kind: str
    preprocessing: str = "none"
    metric: str | None = None
    corrected: Callable[[Sequence[str], str], Correction] | None = None
    candidates: Callable[[ControlInputs], Candidates] | None = None
    reads_copies: bool = False


def _preprocessing(name: str, sentence: str) -> Control:
    return Control(name=name, sentence=sentence, kind="preprocessing", preprocessing=name)


def _metric(name: str, sentence: str) -> Control:
    return Control(name=name, sentence=sentence, kind="metric", metric=name)


def _without(*names: str) -> Control:
    def corrected(texts: Sequence[str], _metric: str) -> Correction:
        baselines = [TEXT_BASELINES[name](texts) for name in names]
        return lambda similarities: residual_similarities(similarities, baselines)

    is_all = len(names) == len(TEXT_BASELINES)
    return Control(
        name="without_text" if is_all else f"without_{names[0]}",
        sentence=f"Similarities less what {' and '.join(names)} of the texts explain, text by text.",
        kind="baseline",
        corrected=corrected,
    )


def _different_ending(m: int) -> Control:
    return Control(
        name=f"different_ending({m})",
        sentence=f"Neighbors differ in the last {counted(m, 'character')}.",
        kind="exclusion",
        candidates=lambda inputs: different_endings(inputs.texts, m),
    )


def _same_ending(m: int) -> Control:
    return Control(
        name=f"same_ending({m})",
        sentence=f"Neighbors have the same last {counted(m, 'character')}.",
        kind="stratum",
        candidates=lambda inputs: same_endings(inputs.texts, m),
    )


def _same_label(name: str) -> Control:
    def candidates(inputs: ControlInputs) -> Candidates:
        if name not in inputs.labels:
            raise ParameterError(
                f"same_label({name}): no labels {name!r} were given",
                hint="a text set has none of its single texts; hand over one for each.",
            )
        return same_stratum(inputs.labels[name], name=f"same_label({name})", what=name)

    return Control(
        name=f"same_label({name})",
        sentence=f"Neighbors have the same {name}.",
        kind="stratum",
        candidates=candidates,
    )


def _locally_scaled(_texts: Sequence[str], metric: str) -> Correction:
    refuse_unscaled(metric)
    return partial(local_scaling, metric=metric)


def _tokens(inputs: ControlInputs) -> Mapping[str, Integer[np.ndarray, " _"]]:
    if not inputs.tokens:
        raise ParameterError("the tokens that texts are read at are not known")
    return inputs.tokens


_BUILT_IN = (
    _preprocessing("center", "The mean over texts is taken off."),
    _preprocessing("standardize", "Each unit has mean 0 and variance 1 over the texts."),
    _preprocessing("whiten", "Units are made uncorrelated, as far as the texts tell."),
    _preprocessing("remove_components(1)", "The largest principal component is taken off."),
    _preprocessing("remove_components(3)", "The three largest principal components are taken off."),
    _preprocessing("clip(0.99)", "Extreme values are cut off at a quantile."),
    _preprocessing("drop_largest(3)", "The three units of largest mean square are left out."),
    _metric("cosine", "Near is what lies in the same direction, lengths aside."),
    _metric("euclidean", "Near is what lies near, directions aside."),
    _metric("correlation", "Each text's own mean over units is taken off."),
    _metric("inner_product", "Near is what has a large product, lengths included."),
    Control(
        name="local_scaling",
        sentence="Distances relative to how near either text's ten nearest neighbors are.",
        kind="hubs",
        corrected=_locally_scaled,
    ),
    Control(
        name="mutual_proximity",
        sentence="How probably either text is nearer to the other than to some text.",
        kind="hubs",
        corrected=lambda _texts, _metric: mutual_proximity,
    ),
    Control(
        name="different_token",
        sentence="Neighbors are read at another token, by every model.",
        kind="exclusion",
        candidates=lambda inputs: different_tokens(_tokens(inputs)),
    ),
    _different_ending(1),
    _different_ending(3),
    Control(
        name="same_token",
        sentence="Neighbors are read at the same token, by every model.",
        kind="stratum",
        candidates=lambda inputs: same_tokens(_tokens(inputs)),
    ),
    _same_ending(1),
    Control(
        name="same_length",
        sentence="Neighbors are about equally long, in characters.",
        kind="stratum",
        candidates=lambda inputs: same_stratum(
            length_strata(inputs.texts, k=inputs.k), name="same_length", what="length"
        ),
    ),
    _same_label("source"),
    _same_label("language"),
    *(_without(name) for name in TEXT_BASELINES),
    _without(*TEXT_BASELINES),
    Control(
        name="untrained",
        sentence="Copies of the models with random weights: what architecture and tokens alone give.",
        kind="copies",
        reads_copies=True,
    ),
)
CONTROLS: dict[str, Control] = {control.name: control for control in _BUILT_IN}
"""The controls that come with isodepth, by name."""

_WITH_NUMBER = {"different_ending": _different_ending, "same_ending": _same_ending}
_WRITTEN = re.compile(r"(different_ending|same_ending|same_label)\((.*)\)")


def control_of(name: str) -> Control:
    """Return the control of a name.

    Parameters
    ----------
    name : str
        A key of `CONTROLS`, or one of these with other options: "different_ending(5)",
        "same_ending(2)", "same_label(topic)", or any preprocessing: "center + unit_norm".

    Raises
    ------
    UnknownNameError
        If there is none.
    ParameterError
        If an option is none that it takes.
    """
    if name in CONTROLS:
        return CONTROLS[name]
    if written := _WRITTEN.fullmatch(name.strip()):
        kind, option = written[1], written[2].strip()
        if kind == "same_label":
            if not option:
                raise ParameterError("same_label: expected the name of a column; got none")
            return _same_label(option)
        if not option.isascii() or not option.isdigit() or int(option) < 1:
            raise ParameterError(f"{kind}: expected a number of characters, at least 1; got {option!r}")
        return _WITH_NUMBER[kind](int(option))
    try:
        preprocessing = Preprocessing.of(name)
    except UnknownNameError as error:
        near = nearest_names(name, CONTROLS)
        raise UnknownNameError(
            f"no control is called {name!r}",
            hint=f"did you mean {' or '.join(near)}?"
            if near
            else f"there are {listed(list(CONTROLS), most=40)}, and every preprocessing.",
        ) from error
    return _preprocessing(preprocessing.name, f"Activations go through {preprocessing.name}.")
