"""What could explain the finding away? Neighbors found without it, and how far that moves the profile.

`CONTROLS` are the explanations: hubs, a few huge units, how texts end, their length, their words.
`all_controlled` finds neighbors in which each has no part, `confound_table` says what becomes of the
diagonality profile.

>>> inputs = ControlInputs(texts=texts, k=10)                                   # doctest: +SKIP
>>> table = confound_table(all_controlled(activations, inputs))                 # doctest: +SKIP
>>> print(table.row("center", "on_minus_off").difference)                       # doctest: +SKIP
0.011 [0.006, 0.016]

Memory: that of one control at a time; see `controlled`.
"""

from isodepth.confounds.baselines import TEXT_BASELINES, character_n_grams, length, tf_idf
from isodepth.confounds.candidates import (
    Candidates,
    all_others,
    different_endings,
    different_tokens,
    same_endings,
    same_stratum,
    same_tokens,
)
from isodepth.confounds.controlled import (
    ControlledNeighbors,
    all_controlled,
    controlled_neighbors,
)
from isodepth.confounds.controls import (
    CONTROLS,
    KINDS,
    Control,
    ControlInputs,
    control_of,
)
from isodepth.confounds.differences import confound_table
from isodepth.confounds.hubs import local_scaling, mutual_proximity
from isodepth.confounds.matrices import ControlledMatrices
from isodepth.confounds.partial import residual_similarities
from isodepth.confounds.similarities import layer_similarities, nearest
from isodepth.confounds.strata import length_strata
from isodepth.confounds.study import StudyConfounds, TextSetConfounds
from isodepth.confounds.table import ConfoundRow, ConfoundTable
from isodepth.confounds.verdicts import MOVES, NEGLIGIBLE, moves

__all__ = [
    "CONTROLS",
    "KINDS",
    "MOVES",
    "NEGLIGIBLE",
    "TEXT_BASELINES",
    "Candidates",
    "ConfoundRow",
    "ConfoundTable",
    "Control",
    "ControlInputs",
    "ControlledMatrices",
    "ControlledNeighbors",
    "StudyConfounds",
    "TextSetConfounds",
    "all_controlled",
    "all_others",
    "character_n_grams",
    "confound_table",
    "control_of",
    "controlled_neighbors",
    "different_endings",
    "different_tokens",
    "layer_similarities",
    "length",
    "length_strata",
    "local_scaling",
    "moves",
    "mutual_proximity",
    "nearest",
    "residual_similarities",
    "same_endings",
    "same_stratum",
    "same_tokens",
    "tf_idf",
]
