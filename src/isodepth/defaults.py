"""Defaults that several parts of isodepth share."""

KEPT_NEIGHBORS = 100
"""Neighbors kept per text, if there are as many: any k up to this needs no model again."""
BUNDLED_NEIGHBORS = 10
"""Neighbors per text that are shared."""
