"""What the models read: text sets with a name, an order and a digest."""

from isodepth.texts.catalogue import TEXT_SETS, CatalogueTexts
from isodepth.texts.loading import load_texts
from isodepth.texts.text_set import TextSet, texts_digest

__all__ = ["TEXT_SETS", "CatalogueTexts", "TextSet", "load_texts", "texts_digest"]
