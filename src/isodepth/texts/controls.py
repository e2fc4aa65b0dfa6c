"""Controls: texts made from other texts, or from nothing, that keep one thing and destroy another.

What two models share on a text set may come from what the texts mean, or from how they look: their
length, their last token, their words, their letters. A control removes one of these. If the similarity
stays, that was not its cause.

Every control changes each text by itself, by a function of the text and a seed. So changing a sample
and sampling the changed set give the same, and row i of ``caesar(news)`` belongs to row i of ``news``.

>>> caesar(seed=1)("Hello, hello")                                            # doctest: +SKIP
"""

import hashlib
import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from isodepth.errors import ParameterError

Change = Callable[[str], str]

RANDOM_ALPHABET = string.ascii_lowercase + string.ascii_uppercase + string.digits + " .,!?"
RANDOM_LENGTH = 100
DEFAULT_SEED = 1234
SAME_ENDING = "That is all there is to say."

JOINERS = frozenset("\u200c\u200d")
RARE_MARKS = frozenset("\\^`{|}~")
PLACES_OF_LATIN_1 = 0x100
PLACES_TOGETHER = 128
MOST_RANDOM_CHARACTERS = 1_000_000_000
_SENTENCE_END = re.compile(r"(?<=[.!?])([\"'”’)\]]*)(\s+)|((?<![^\S\n])[^\S\n]*\n\s*)")
_WORD_OR_MARK = re.compile(r"\w+|[^\w\s]")


def random_strings(
    n: int, *, seed: int = DEFAULT_SEED, length: int = RANDOM_LENGTH, alphabet: str = RANDOM_ALPHABET
) -> list[str]:
    """Return strings of characters drawn uniformly and independently.

    Parameters
    ----------
    n : int
        How many. Fewer are the start of more.
    seed : int
        In [0, 2**32). Of the Mersenne Twister.
    length : int
        Characters of each, at least 1.
    alphabet : str
        At least two different characters. By default a-z, A-Z, 0-9, space and ``. , ! ?``.

    Raises
    ------
    ParameterError
        If a parameter is out of range.

    References
    ----------
    Wolfram & Schein 2025, appendix A.3. The strings themselves are those of the paper's pipeline, which
    draws with ``torch.randint`` after ``torch.manual_seed(1234)``: the same generator, seeded the same
    way, reduced modulo the size of the alphabet. Differs in nothing.
    """
    if length < 1:
        raise ParameterError(f"random-strings: length must be at least 1; got {length}")
    if n * length > MOST_RANDOM_CHARACTERS:
        raise ParameterError(
            f"random-strings: {n:,} strings of {length:,} characters are more than "
            f"{MOST_RANDOM_CHARACTERS:,} characters"
        )
    if len(set(alphabet)) != len(alphabet) or len(alphabet) < 2:
        raise ParameterError(
            f"random-strings: alphabet must hold at least 2 different characters, each once; got "
            f"{alphabet!r}"
        )
    if not alphabet.strip():
        raise ParameterError("random-strings: alphabet holds white space only")
    if not 0 <= seed < 2**32:
        raise ParameterError(f"random-strings: seed must be in [0, 2**32); got {seed}")
    generator = np.random.RandomState(seed)
    draws = generator.randint(0, 2**32, size=(n, length), dtype=np.uint32) % len(alphabet)
    letters = np.array(list(alphabet))
    return ["".join(row) for row in letters[draws]]


def caesar(*, seed: int = DEFAULT_SEED, characters: str = "all") -> Change:
    """Return a substitution cipher: every character becomes another, the same one everywhere.

    Lengths, repetitions and character statistics stay; words and meaning go.

    Parameters
    ----------
    seed : int
        Of the permutation.
    characters : {"all", "letters"}
        "all": the 95 printable characters of ASCII, the space among them, are permuted, and those of
        Latin-1 among themselves; what becomes a space is a rare mark, so that no word turns into
        nothing and few texts end in a space. "letters": the letters a-z, capitals alike, and those of
        Latin-1 that have both cases; words keep their boundaries and texts their punctuation. Either
        way, letters of other scripts, and with "all" digits, are permuted among those of their kind in
        the same 128 places of Unicode (in the version that Python knows); everything else stays.

    Raises
    ------
    ParameterError
        If `characters` is neither.

    References
    ----------
    The pipeline of Wolfram & Schein 2025 permutes all characters that occur in a set, in an order that
    changes from run to run. Differs: a fixed set of characters, so that the cipher depends on the seed
    alone, and not on which texts are sampled.
    """
    printable = [chr(code) for code in range(0x20, 0x7F)]
    latin = [chr(code) for code in range(0xA1, 0x100) if code != 0xAD]  # 0xAD is a soft hyphen
    generator = np.random.default_rng(seed)
    if characters == "all":
        ring = _shuffled(printable, generator)
        ring.remove(" ")
        mark = next(place for place, c in enumerate(ring) if c in RARE_MARKS)
        ring.insert(mark + 1, " ")
        table = _each_to_the_next(ring) | _each_to_the_next(_shuffled(latin, generator))
    elif characters == "letters":
        small = [c for c in latin if c.islower() and len(c.upper()) == 1 and ord(c.upper()) < 0x100]
        small = [c for c in small if c.upper() != c]
        table = _each_to_the_next(_shuffled(list(string.ascii_lowercase), generator))
        table |= _each_to_the_next(_shuffled(small, generator))
        table |= {one.upper(): other.upper() for one, other in table.items()}
    else:
        raise ParameterError(f"caesar: characters must be all or letters; got {characters!r}")
    cipher = _Cipher(str.maketrans(table), seed, ("L", "N") if characters == "all" else ("L",))
    return lambda text: text.translate(cipher)


class _Cipher(dict[int, str]):
    """A translation table that is filled for other scripts as their characters are met."""

    def __init__(self, table: dict[int, str], seed: int, kinds: tuple[str, ...]) -> None:
        super().__init__(table)
        self._seed = seed
        self._kinds = kinds

    def __missing__(self, code: int) -> str:
        kind = unicodedata.category(chr(code))
        if code < PLACES_OF_LATIN_1 or not kind.startswith(self._kinds):
            self[code] = chr(code)
            return self[code]
        block = code // PLACES_TOGETHER
        places = range(block * PLACES_TOGETHER, (block + 1) * PLACES_TOGETHER)
        alike = [chr(place) for place in places if unicodedata.category(chr(place)) == kind]
        generator = np.random.default_rng([self._seed, block, *kind.encode()])
        self.update(str.maketrans(_each_to_the_next(_shuffled(alike, generator))))
        return self[code]


def _shuffled(characters: list[str], generator: np.random.Generator) -> list[str]:
    return [characters[place] for place in generator.permutation(len(characters))]


def _each_to_the_next(ring: list[str]) -> dict[str, str]:
    """Return the permutation with one cycle, which leaves no character as it is."""
    return dict(zip(ring, [*ring[1:], ring[0]], strict=True))


def _generator_of(text: str, seed: int) -> np.random.Generator:
    """Return a generator that depends on the text and the seed alone."""
    digest = hashlib.sha256(f"{seed}\0".encode() + text.encode("utf-8", "surrogatepass")).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "little"))


def shuffled_words(*, seed: int = DEFAULT_SEED) -> Change:
    """Return a function that puts the words of a text into random order.

    A word is what stands between white space; the white space stays where it is. Which words occur
    stays; their order, and with it syntax and the last token, goes.
    """

    def change(text: str) -> str:
        parts = re.split(r"(\s+)", text)
        places = [place for place, part in enumerate(parts) if part and not part.isspace()]
        order = _generator_of(text, seed).permutation(len(places))
        shuffled = list(parts)
        for place, source in zip(places, order, strict=True):
            shuffled[place] = parts[places[source]]
        return "".join(shuffled)

    return change


def shuffled_sentences(*, seed: int = DEFAULT_SEED) -> Change:
    """Return a function that puts the sentences of a text into random order.

    A sentence ends at ``. ! ?`` (and closing quotes or brackets) before white space, or at a line
    break; abbreviations are not told apart from ends. Gaps stay where they are. Sentences stay whole;
    the course of the text goes.
    """

    def change(text: str) -> str:
        body = text.strip()
        at = text.index(body)
        sentences, gaps = _sentences(body)
        order = _generator_of(text, seed).permutation(len(sentences))
        shuffled = [sentences[index] for index in order]
        pieces = [piece for pair in zip(shuffled, [*gaps, ""], strict=True) for piece in pair]
        return text[:at] + "".join(pieces) + text[at + len(body) :]

    return change


def _sentences(text: str) -> tuple[list[str], list[str]]:
    """Return the sentences of a text without white space at its ends, and the gaps between them."""
    sentences: list[str] = []
    gaps: list[str] = []
    start = 0
    for match in _SENTENCE_END.finditer(text):
        closing = match.group(1) or ""
        sentences.append(text[start : match.start() + len(closing)])
        gaps.append(match.group(2) or match.group(3))
        start = match.end()
    return [*sentences, text[start:]], gaps


def truncated_to_n_tokens(*, n: int, tokenizer: str | None = None) -> Change:
    """Return a function that cuts a text so that at most n tokens are left; shorter texts stay.

    Parameters
    ----------
    n : int
        At least 1.
    tokenizer : str, optional
        A model, as `load_model` takes it, whose tokens count. Where it is left out, a token is a word,
        with its combining marks and joiners, or a punctuation mark, whatever the models: then all
        models read the same texts. A character that is several tokens is kept or cut whole; the first
        that is not white space is always kept.

    Raises
    ------
    ParameterError
        If `n` is below 1.
    """
    if n < 1:
        raise ParameterError(f"truncated-to-{n}-tokens: expected at least 1 token")
    ends = _word_ends if tokenizer is None else _token_ends(tokenizer)

    def change(text: str) -> str:
        found = ends(text)
        if len(found) <= n:
            return text
        # what is left may be cut into other tokens than before, so it is counted again
        for end in sorted({end for end in found[:n] if text[:end].strip()}, reverse=True):
            if end < len(text) and len(ends(text[:end])) <= n:
                return text[:end]
        return text[: len(text) - len(text.lstrip()) + 1]

    return change


def _word_ends(text: str) -> list[int]:
    ends: list[int] = []
    for match in _WORD_OR_MARK.finditer(text):
        start, end = match.span()
        if ends and ends[-1] == start and (_joins(text[start]) or _joins(text[start - 1])):
            ends[-1] = end
        else:
            ends.append(end)
    return ends


def _joins(character: str) -> bool:
    """Return whether a character belongs to the word before it, and what follows it too."""
    return character in JOINERS or unicodedata.category(character).startswith("M")


def _token_ends(name: str) -> Callable[[str], list[int]]:
    """Return a function that gives where each of a model's own tokens ends in a text."""
    from isodepth.models import load_tokenizer

    tokenizer = load_tokenizer(name)
    if not tokenizer.is_fast:
        raise ParameterError(f"tokenizer={name}: it does not tell where its tokens stand in a text")

    def ends(text: str) -> list[int]:
        encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        return [int(end) for _, end in encoded["offset_mapping"]]

    return ends


def same_ending(*, ending: str = SAME_ENDING) -> Change:
    """Return a function that makes all texts end in the same sentence, hence in the same token.

    Parameters
    ----------
    ending : str
        What is appended, after a space unless the text ends in white space.

    Raises
    ------
    ParameterError
        If `ending` is empty.
    """
    if not ending.strip():
        raise ParameterError("same-ending: ending must not be empty")
    return lambda text: f"{text}{'' if text[-1:].isspace() else ' '}{ending}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A way to make texts from texts.

    Parameters
    ----------
    summary : str
        What it does, in a line.
    make : callable
        Takes the options; returns the function that changes a text.
    options : mapping
        The options by name, with their types.
    """

    summary: str
    make: Callable[..., Change]
    options: Mapping[str, type]


CONTROLS: dict[str, Control] = {
    "caesar": Control(
        summary="characters permuted by a seeded bijection: meaning goes, statistics stay",
        make=caesar,
        options={"seed": int, "characters": str},
    ),
    "shuffled-words": Control(
        summary="words in random order: syntax goes, vocabulary stays",
        make=shuffled_words,
        options={"seed": int},
    ),
    "shuffled-sentences": Control(
        summary="sentences in random order: the course of the text goes, sentences stay",
        make=shuffled_sentences,
        options={"seed": int},
    ),
    "truncated-to-n-tokens": Control(
        summary="cut after n tokens (truncated-to-32-tokens): length goes",
        make=truncated_to_n_tokens,
        options={"n": int, "tokenizer": str},
    ),
    "same-ending": Control(
        summary="the same sentence at the end of every text: the last token goes",
        make=same_ending,
        options={"ending": str},
    ),
}
