"""Which neighbors are left under a control? And which without it, all else equal?

Most controls are held against neighbors as they are. One that lets fewer texts be neighbors is not: how
similar layers are beyond chance depends on how many candidates there are. (Of three models on 256 texts
of Wikipedia, groups of 43 texts equal in length raise the mean similarity beyond chance from 0.17 to
0.23, and so do random groups: 0.230, standard deviation 0.004.) It is held against the same pattern of
who may be whose neighbor with the texts shuffled, some times over: as few candidates for as many texts,
chosen without regard to what they are.

Where a control leaves some texts too few candidates, only the others are used, in its baseline too.

Metric and preprocessing are those of the inputs, with a control and without. A control that would ask
for what they are already is not possible.

>>> inputs = ControlInputs(texts=texts, k=10)                                   # doctest: +SKIP
>>> center = controlled_neighbors(control_of("center"), models, inputs)         # doctest: +SKIP
>>> center.ids["gemma-3-270m"].shape                                            # doctest: +SKIP
(18, 256, 20)

Memory: one layer, and for controls of similarities or candidates some five arrays (texts, texts); the
neighbors that result, 4 bytes a layer, text and neighbor, six times over where texts are shuffled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int32

from isodepth.affinity.measure import Layers
from isodepth.axes import shape_text
from isodepth.confounds.candidates import AllowedPairs, Candidates, Rows, fewest_texts, n_needed
from isodepth.confounds.controls import CONTROLS, Control, ControlInputs, control_of
from isodepth.confounds.similarities import layer_similarities, nearest
from isodepth.errors import ActivationsError, ParameterError, counted, listed
from isodepth.neighbors import layer_neighbors
from isodepth.preprocessing import Preprocessing
from isodepth.preprocessing.chain import NONE
from isodepth.progress import Progress, no_progress

N_SHUFFLES = 5
CENTERING = ("center", "standardize", "whiten", "remove_components")
"""Steps after which the mean over texts is 0."""
UNSEEN_BY = {"euclidean": ("center",), "cosine": ("unit_norm",), "correlation": ("unit_norm",)}
"""Steps that change no text's neighbors by a metric."""

# by model, (layers, texts, k'); models differ in their numbers of layers
Ids = Mapping[str, Int32[np.ndarray, "_ _ _"]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ControlledNeighbors:
    """Neighbors under a control, and without it, all else equal. Made by `controlled_neighbors`.

    Parameters
    ----------
    control : Control
        Which.
    sentence : str
        What it did to these texts.
    ids : mapping of str to int32 array (layers, rows, k')
        By model, neighbors under the control, k' = `n_needed(k)` of them; they count within `rows`.
        Empty where the control is not possible; without models that have no copy, where it is of these.
    baselines : tuple of such mappings
        What it is held against, on the same texts and models: neighbors as they are; for a control of
        candidates, neighbors with the texts shuffled among its candidates, one for each shuffle.
    plain_ids : mapping of str to int32 array (layers, texts, k')
        Neighbors as they are, on all texts.
    chance : float
        The similarity of unrelated layers at `k` neighbors, under the control and in its baselines.
    rows : int64 array (rows,)
        Which texts were used, from 0.
    n_texts : int
        How many there are.
    k : int
        Neighbors that count.
    metric, preprocessing : str
        Of the neighbors under the control.
    plain_metric, plain_preprocessing : str
        Of those without it.
    problem : str or None
        Why the control is not possible; None where it is.
    """

    control: Control
    sentence: str
    ids: Ids
    baselines: tuple[Ids, ...]
    plain_ids: Ids
    chance: float
    rows: Rows
    n_texts: int
    k: int
    metric: str
    preprocessing: str
    plain_metric: str
    plain_preprocessing: str
    problem: str | None = None

    @property
    def plain_chance(self) -> float:
        """The similarity of unrelated layers at `k` neighbors of all other texts."""
        return self.k / (self.n_texts - 1)

    def __repr__(self) -> str:
        what = self.problem or f"{len(self.rows):,} of {self.n_texts:,} texts"
        return f"ControlledNeighbors({self.control.name!r}, {what})"


def all_controlled(
    models: Mapping[str, Layers],
    inputs: ControlInputs,
    controls: Iterable[str] | None = None,
    *,
    plain: Ids | None = None,
    seed: int = 0,
    progress: Progress = no_progress,
) -> Iterator[ControlledNeighbors]:
    """Yield the neighbors under each control, in order; one that is not possible says why.

    Parameters
    ----------
    models : mapping of str to Layers
        By name, activations (layers, texts, units); each layer is taken once a control.
    inputs : ControlInputs
        What controls need besides.
    controls : iterable of str, optional
        Names that `control_of` takes; all of `CONTROLS` where it is left out.
    plain : mapping of str to int32 array (layers, texts, k'), optional
        Neighbors by the inputs' metric and preprocessing without a control, at least `n_needed(k)` of
        each text, where they are there already.
    seed : int
        Of the shuffles.
    progress : Progress
        Told of controls done.

    Raises
    ------
    UnknownNameError
        If there is no such control.
    ParameterError
        If a model has another number of texts, a copy another number of layers, or neighbors that are
        there do not fit.
    ActivationsError
        If neighbors cannot be found even without a control.
    """
    chosen = [control_of(name) for name in (CONTROLS if controls is None else controls)]
    plain = _plain(models, inputs, plain)
    label = "finding neighbors under controls"
    progress(label, 0, len(chosen), "steps")
    for done, control in enumerate(chosen, 1):
        yield controlled_neighbors(control, models, inputs, plain=plain, seed=seed)
        progress(label, done, len(chosen), "steps")


def controlled_neighbors(
    control: Control,
    models: Mapping[str, Layers],
    inputs: ControlInputs,
    *,
    plain: Ids | None = None,
    seed: int = 0,
) -> ControlledNeighbors:
    """Return the neighbors of all models under a control, and without it, all else equal.

    Parameters
    ----------
    control : Control
        Which.
    models, inputs, plain, seed
        As for `all_controlled`.

    Raises
    ------
    ParameterError
        If a model has another number of texts, a copy another number of layers, or neighbors that are
        there do not fit.
    ActivationsError
        If neighbors cannot be found even without the control.

    References
    ----------
    That restricted neighbors are held against restrictions at random is ours.
    """
    n_texts = len(inputs.texts)
    plain = _plain(models, inputs, plain)
    steps, metric = _reading(control, inputs)
    after = " That comes after the study's own {}." if control.preprocessing != NONE else ""
    found = ControlledNeighbors(
        control=control,
        sentence=control.sentence + after.format(inputs.preprocessing) * (inputs.preprocessing != NONE),
        ids={},
        baselines=(plain,),
        plain_ids=plain,
        chance=inputs.k / (n_texts - 1),
        rows=np.arange(n_texts),
        n_texts=n_texts,
        k=inputs.k,
        metric=metric,
        preprocessing=steps.name,
        plain_metric=inputs.metric,
        plain_preprocessing=inputs.preprocessing,
    )
    if said := _as_it_is(control, inputs):
        return _not_possible(found, said)
    if control.candidates is not None:
        return _among_candidates(found, control.candidates, models, inputs, seed)
    read = models
    if control.reads_copies:
        missing = [name for name in models if name not in inputs.copies]
        read = {name: inputs.copies[name] for name in models if name not in missing}
        if len(read) < 2:
            return _not_possible(found, f"there is no untrained copy of {listed(missing)}")
        if missing:
            found = replace(
                found,
                sentence=f"{found.sentence} There is none of {listed(missing)}, so of the others only.",
                baselines=({name: plain[name] for name in read},),
            )
        others = [
            f"{len(copy)} of {name}, which has {len(models[name])}"
            for name, copy in read.items()
            if len(copy) != len(models[name])
        ]
        if others:
            raise ParameterError(
                f"copies must have as many layers as their models; got {listed(others)}"
            )
    try:
        return replace(found, ids=_found(control, read, inputs, found.rows, [None])[0])
    except ActivationsError as error:
        return _not_possible(found, error.message)


def _not_possible(found: ControlledNeighbors, why: str) -> ControlledNeighbors:
    """Return that a control is not possible, for a reason that need not name it again."""
    return replace(found, problem=why.removeprefix(f"{found.control.name}: "))


def _among_candidates(
    found: ControlledNeighbors,
    candidates_of: Callable[[ControlInputs], Candidates],
    models: Mapping[str, Layers],
    inputs: ControlInputs,
    seed: int,
) -> ControlledNeighbors:
    """Return a control of candidates, with its baselines; or why it is not possible."""
    try:
        candidates = candidates_of(inputs)
    except ParameterError as error:
        return _not_possible(found, error.message)
    rows = candidates.rows_with_enough(inputs.k)
    if len(rows) < fewest_texts(inputs.k):
        return _not_possible(found, _too_few(candidates, len(rows), inputs.k))
    kept = candidates.of_rows(rows)
    if kept.n_candidates.min() == len(rows) - 1:
        why = f"any of the {len(rows):,} texts that can be used may be a neighbor of any other, so it"
        return _not_possible(found, f"{why} changes nothing. {kept.sentence}")
    rng = np.random.default_rng(seed)
    shuffles = [rng.permutation(len(rows)) for _ in range(N_SHUFFLES)]
    patterns = [kept.allowed, *(kept.allowed[np.ix_(shuffle, shuffle)] for shuffle in shuffles)]
    ids, *baselines = _found(found.control, models, inputs, rows, patterns)
    return replace(
        found,
        sentence=kept.sentence,
        ids=ids,
        baselines=tuple(baselines),
        chance=kept.chance(inputs.k),
        rows=rows,
    )


def _reading(control: Control, inputs: ControlInputs) -> tuple[Preprocessing, str]:
    """Return what activations go through under a control, and the metric."""
    own, further = (Preprocessing.of(one.preprocessing) for one in (inputs, control))
    return Preprocessing(steps=own.steps + further.steps), control.metric or inputs.metric


def _as_it_is(control: Control, inputs: ControlInputs) -> str | None:
    """Return why a control changes nothing, whatever the activations; None where it may."""
    if control.metric == inputs.metric:
        return "it is the study's own metric"
    if control.kind != "preprocessing":
        return None
    own, further = (Preprocessing.of(one.preprocessing).steps for one in (inputs, control))
    if not further:
        return "it changes nothing"
    if len(further) > 1:
        return None
    ((name, arguments),) = further
    if name in UNSEEN_BY.get(inputs.metric, ()):
        return f"it changes nothing by {inputs.metric.replace('_', ' ')}"
    last, before = own[-1] if own else ("", ())
    does_nothing = (
        (name == "center" and last in CENTERING)
        or (name == last and name in ("standardize", "unit_norm"))
        or (name == last == "clip" and arguments >= before)
    )
    return f"it changes nothing after the study's own {inputs.preprocessing}" if does_nothing else None


def _plain(models: Mapping[str, Layers], inputs: ControlInputs, known: Ids | None) -> Ids:
    """Return the neighbors of all models as they are, those that are known if they do."""
    if known is None:
        plain = Control(name="none", sentence="Neighbors as they are.", kind="metric")
        return _found(plain, models, inputs, np.arange(len(inputs.texts)), [None])[0]
    needed = n_needed(inputs.k)
    wrong = [
        f"{name}: {'none' if name not in known else shape_text(('layers', 'texts', 'k'), known[name])}"
        for name, model in models.items()
        if name not in known
        or known[name].shape[:2] != (len(model), len(inputs.texts))
        or known[name].shape[2] < needed
    ]
    if wrong:
        raise ParameterError(
            f"neighbors that are there must be of all layers of all models, of {len(inputs.texts):,} "
            f"texts, and at least {needed} of each; got {listed(wrong)}"
        )
    if [*known] == [*models] and all(ids.shape[2] == needed for ids in known.values()):
        return known
    return {name: known[name][:, :, :needed] for name in models}


def _found(
    control: Control,
    models: Mapping[str, Layers],
    inputs: ControlInputs,
    rows: Rows,
    patterns: Sequence[AllowedPairs | None],
) -> list[Ids]:
    """Return for each pattern of candidates the neighbors of all models, among some of the texts."""
    needed = n_needed(inputs.k)
    preprocessing, metric = _reading(control, inputs)
    corrected = None
    if control.corrected is not None:
        try:
            corrected = control.corrected([inputs.texts[row] for row in rows], metric)
        except ParameterError as error:
            raise ActivationsError(error.message, hint=error.hint) from error
    found: list[dict[str, np.ndarray]] = [{} for _ in patterns]
    for name, model in models.items():
        for one in found:
            one[name] = np.empty((len(model), len(rows), needed), dtype=np.int32)
        for layer in range(len(model)):
            vectors = np.asarray(model[layer])
            if len(vectors) != len(inputs.texts):
                raise ParameterError(
                    f"{name}, layer {layer + 1}: expected activations of {len(inputs.texts):,} texts; "
                    f"got {shape_text(('texts', 'units'), vectors)}"
                )
            try:
                vectors = vectors if len(rows) == len(vectors) else vectors[rows]
                vectors = preprocessing(vectors) if preprocessing.steps else vectors
                if corrected is None and patterns == [None]:
                    found[0][name][layer], _ = layer_neighbors(vectors, needed, metric)
                    continue
                similarities = layer_similarities(vectors, metric)
            except (ActivationsError, ParameterError) as error:  # of a step that these do not admit
                message = f"{name}, layer {layer + 1}: {error.message}"
                raise ActivationsError(message, hint=error.hint) from error
            if corrected is not None:
                similarities = corrected(similarities)
            for one, allowed in zip(found, patterns, strict=True):
                one[name][layer], _ = nearest(similarities, needed, allowed)
    return list(found)


def _too_few(candidates: Candidates, n_left: int, k: int) -> str:
    """Return why candidates do not do."""
    left = f"only {counted(n_left, 'text')} can be used" if n_left else "no texts can be used"
    return (
        f"{left}; expected at least {fewest_texts(k)} of {candidates.n_texts:,} in "
        f"which each has {n_needed(k)} candidates, k = {k} and those that resampling wants. "
        f"{candidates.sentence}"
    )
