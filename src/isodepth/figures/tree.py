"""Which models are alike? The tree of models, with the support of its groups.

Models stand below each other in the order of the leaves; what merges further right is less alike.

>>> tree_figure(assessed.tree, matrices=assessed.matrices)                            # doctest: +SKIP

Memory: some hundred bytes a model.
"""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from isodepth.affinity import AffinityMatrices
from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.figures.captions import caption, legend_beside, lines_of, text_width
from isodepth.figures.theme import INK, MARKERS, SERIES, new_figure, one_line, stated, themed
from isodepth.statistics import LINKAGES, ModelTree

WIDTH = 6.0  # inches, beside the names
ROW = 0.23
NAME_SIZE = 8.0  # points
LEGEND_WIDTH = 1.6
DISTANCE = "1 − calibrated similarity along corresponding layers: 0 the same neighbors, 1 chance"
"""What `isodepth.statistics.model_distances` gives."""


@themed
def tree_figure(
    tree: ModelTree,
    *,
    matrices: AffinityMatrices | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    distance: str = DISTANCE,
) -> Figure:
    """Return the figure of a tree of models, from the left where all are apart.

    Parameters
    ----------
    tree : ModelTree
        By `cluster_models`.
    matrices : AffinityMatrices, optional
        What the distances were told from, for measure, k, texts and chance to be stated.
    groups : mapping of str to sequence of str, optional
        Families of models, by name: their labels. Each has its color and mark.
    distance : str
        What the distance is, for the axis.

    Returns
    -------
    matplotlib.figure.Figure
        Beside a merge its support: the share of resampled trees, in percent, with exactly these models
        as a group, where there are resamples.

    Raises
    ------
    UnknownNameError
        If a label of `groups` is not that of a model of the tree; all are named.
    ParameterError
        If a model is in two groups; all are named.

    References
    ----------
    Not in the paper.
    """
    family_of = _families(tree, groups or {})
    n_models = len(tree.models)
    names = [one_line(model) for model in tree.order]
    longest = max(text_width(name, size=NAME_SIZE) for name in names)
    figure = new_figure(WIDTH + longest, ROW * n_models + 0.7)
    axes = figure.add_subplot()
    # of each model, then of each merge: its row and its height
    rows = [float(tree.order.index(model)) for model in tree.models]
    heights = [0.0] * n_models
    for (first, second, height, _), clade in zip(tree.linkage, tree.clades, strict=True):
        parts = (int(first), int(second))
        ends = [rows[part] for part in parts]
        for part in parts:
            axes.plot([heights[part], height], [rows[part]] * 2, color=INK, linewidth=1.1)
        axes.plot([height, height], ends, color=INK, linewidth=1.1)
        rows.append(sum(ends) / 2)
        heights.append(float(height))
        # that all models are a group is certain
        if clade.support is not None and len(clade.models) < n_models:
            axes.annotate(
                f"{100 * clade.support:.0f}",
                (height, rows[-1]),
                xytext=(2, 1.5),
                textcoords="offset points",
                fontsize=6.5,
                color=INK,
                va="bottom",
            )
    axes.set_ylim(n_models - 0.5, -0.5)
    axes.set_yticks(range(n_models), labels=names, fontsize=NAME_SIZE)
    axes.tick_params(axis="y", length=0, pad=7)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, (max(heights) or 1.0) * 1.06)
    axes.set_xlabel("\n".join(lines_of(distance, WIDTH - 2.0, size=9.0)))
    if groups:
        _mark_groups(axes, tree, list(groups), family_of)
    caption(figure, "Which models are alike?", _said(tree, matrices))
    return figure


def _families(tree: ModelTree, groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the group of each model that has one."""
    unknown = [label for labels in groups.values() for label in labels if label not in tree.models]
    if unknown:
        near = [name for label in unknown for name in nearest_names(label, tree.models)]
        raise UnknownNameError(
            f"groups: no model of the tree is called {listed([repr(label) for label in unknown])}",
            hint=f"did you mean {' or '.join(dict.fromkeys(near))}?"
            if near
            else f"there are {listed(tree.models, most=30)}.",
        )
    names: dict[str, list[str]] = {}
    for name, labels in groups.items():
        for label in labels:
            names.setdefault(label, []).append(name)
    twice = [f"{label} ({' and '.join(found)})" for label, found in names.items() if len(found) > 1]
    if twice:
        raise ParameterError(f"groups: a model has one group at most; more have {listed(twice)}")
    return {label: found[0] for label, found in names.items()}


def _mark_groups(
    axes: Axes, tree: ModelTree, groups: Sequence[str], family_of: Mapping[str, str]
) -> None:
    """Mark leaves and names in the colors of their groups, which a legend names."""
    handles: list[Line2D] = []
    for place, group in enumerate(groups):
        color = SERIES[place % len(SERIES)]
        # seven colors by seven shapes
        marker = MARKERS[(place + place // len(SERIES)) % len(MARKERS)]
        members = [row for row, model in enumerate(tree.order) if family_of.get(model) == group]
        handles += axes.plot(
            [0] * len(members),
            members,
            color=color,
            marker=marker,
            markersize=5.5,
            markeredgecolor=INK,
            markeredgewidth=0.4,
            linestyle="",
            clip_on=False,
            zorder=3,
        )
    legend_beside(axes, handles, groups, LEGEND_WIDTH)


def _said(tree: ModelTree, matrices: AffinityMatrices | None) -> list[str]:
    """Return sentences: what was measured, how groups merge, what support is, how well a tree fits."""
    said = [] if matrices is None else [f"By {stated(matrices)}."]
    merged = f"Distance of two groups: {LINKAGES[tree.method]}."
    if tree.cophenetic_correlation is not None:
        merged += f" Cophenetic correlation {tree.cophenetic_correlation:.2f}: how well a tree fits."
    said.append(merged)
    if any(clade.support is not None for clade in tree.clades):
        said.append(
            "Numbers: the percentage of trees of resampled texts that have exactly this group; no "
            "probability that it is true."
        )
    else:
        said.append("No support of groups: no texts were resampled.")
    return said
