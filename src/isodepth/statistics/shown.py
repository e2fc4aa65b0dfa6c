"""What does a depth map look like in a notebook? The path, its band, and whether to trust it."""

from typing import TYPE_CHECKING

from isodepth.notebook import card, path_picture

if TYPE_CHECKING:
    from isodepth.statistics.depth_map import DepthMap

MOST_SEGMENTS = 6


def depth_map_html(found: "DepthMap") -> str:
    """Return the HTML of a depth map."""
    from isodepth.statistics.depth_map import TRUSTED_DISAGREEMENT

    to, departure = found.left_to_right, found.departure
    sizes = (len(to.layer), len(found.right_to_left.layer))
    bands = to.bands
    picture = path_picture(
        found.path + 1,
        sizes,
        left=found.left,
        right=found.right,
        band=None if bands is None else (bands.low, bands.high),
        band_name="" if bands is None else f"{100 * bands.level:g} % band of each left layer's match",
    )
    rows = {
        "similarity along the path": f"{found.path_similarity:.3f}",
        "along proportional depth": f"{found.proportional_similarity:.3f}",
        "of all layer pairs": f"{found.mean_similarity:.3f}",
        f"depth in {found.right} minus that in {found.left}": str(departure.signed),
        "the same, absolute": str(departure.absolute),
        "distance to most similar layers": f"{found.match_disagreement:.3f} of the depth",
    }
    for segment in found.segments[:MOST_SEGMENTS]:
        one, other = (
            (found.left, found.right) if segment.compressed == "left" else (found.right, found.left)
        )
        support = "" if segment.support is None else f" ({100 * segment.support:.0f} % of resamples)"
        rows[f"compressed: {one} {segment.first} to {segment.last}"] = (
            f"{other} {segment.other_first} to {segment.other_last}{support}"
        )
    trusted = found.match_disagreement <= TRUSTED_DISAGREEMENT
    note = (
        "There is a path through any matrix; whether there is a ridge to follow, a decision tells."
        if trusted
        else "Not to be trusted: most similar layers lie further than "
        f"{TRUSTED_DISAGREEMENT} of the depth from the path."
    )
    return card(
        "DepthMap", f"{found.left} × {found.right}", pictures_html=[picture], rows=rows, notes=[note]
    )
