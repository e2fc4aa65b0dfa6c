"""What the models read: text sets with a name, an order and a digest."""

from isodepth.texts.catalogue import TEXT_SETS, CatalogueTexts
from isodepth.texts.controls import CONTROLS
from isodepth.texts.description import TextDescription, catalogue_description, describe_texts
from isodepth.texts.labels import text_labels
from isodepth.texts.loading import (
    controlled_texts,
    fetch_texts,
    load_parallel_texts,
    load_texts,
)
from isodepth.texts.parallel import Pairing, ParallelTexts
from isodepth.texts.text_set import TextSet, texts_digest

__all__ = [
    "CONTROLS",
    "TEXT_SETS",
    "CatalogueTexts",
    "Pairing",
    "ParallelTexts",
    "TextDescription",
    "TextSet",
    "catalogue_description",
    "controlled_texts",
    "describe_texts",
    "fetch_texts",
    "load_parallel_texts",
    "load_texts",
    "text_labels",
    "texts_digest",
]
