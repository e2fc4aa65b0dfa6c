"""What are the parts of a profile called in a figure, and what are they measured in?

Parts of one scale can stand on one axis; parts of two cannot, however alike their numbers look.
"""

from isodepth.statistics.ridge import RIDGE_PARTS

PROFILE_SCALES: dict[str, dict[str, str]] = {
    "similarity": {
        "mean": "mean of all layer pairs",
        "on_mean": "mean on the generalized diagonal",
        "off_mean": "mean off the generalized diagonal",
    },
    "difference of similarities": {
        "on_minus_off": "on minus off the generalized diagonal",
        "on_minus_anti": "on the diagonal minus on its mirror image",
        "centered_ridge": "on minus off, row and column means removed",
        "ridge_early": "on minus off within the first third",
        "ridge_middle": "on minus off within the middle third",
        "ridge_late": "on minus off within the last third",
        **RIDGE_PARTS,
    },
    "correlation, −1 to 1": {
        "rank_agreement_left": "rank correlation of left layers, matches",
        "rank_agreement_right": "rank correlation of right layers, matches",
        "association": "association beyond chance (gamma)",
    },
    "share of the similarity beyond chance": {
        "sharpness": "share lost off the proportional diagonal",
        "weakest_part": "weakest part of order and center",
    },
    "distance in depth, 0 where layers correspond": {
        "depth_deviation": "distance in depth of most similar layers",
    },
}
"""The parts of a profile by what they are measured in, each with its short name."""
PROFILE_NAMES = {part: name for scale in PROFILE_SCALES.values() for part, name in scale.items()}
"""Short names by part; `isodepth.statistics.PROFILE` says what each is."""
