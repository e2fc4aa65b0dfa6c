"""What a user is told of a study that cannot be run: the whole text of it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isodepth.affinity import MEASURES
from isodepth.errors import IsodepthError, StudyError
from isodepth.neighbors import METRICS
from isodepth.study import Study, load_study

Refused = Callable[[str], StudyError]
OURS = tuple(MEASURES)
GOOD = 'models = ["offline"]\ntexts = ["news"]\n'
COUNTED = "places in lists count from 1: ks[1] is the first."
NO_MODEL = (
    "there is no such model: expected a name of the catalogue, a group (offline, paper, paper-tuned), "
    'a file or folder, or a hub id "owner/name"'
)
NO_TEXTS = (
    "there is no such text set and no such file: expected one of web-text, news, imdb, mmlu, ifeval, "
    "wikipedia, books-en, books-de, handbook-en, handbook-de, common-words, random-strings, a control "
    "as in caesar(news), a file (.txt, .jsonl, .csv, .parquet), a folder of .txt files, or "
    "hf:owner/name"
)
NAMES = 'expected a list of names, as in ["offline", "./folder"]'
ONE_TEXT_SET = (
    'expected "news", { texts = "reviews.csv", column = "review" } or { left = "...", right = "..." }'
)
KNOWN_KEYS = (
    "there are name, n, seed, models, also_as_chat, texts, captures, poolings, max_tokens, metric, "
    "preprocessing, measures, ks, keep, loading, resources"
)
PAIRS = "parallel are books-en and books-de, handbook-en and handbook-de, and a set and its controls"
ABOVE = "keys of the study itself stand above the first [table]"


@pytest.fixture(autouse=True)
def _measures_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take out measures that fixtures of other tests enter for as long as the session lasts."""
    for name in set(MEASURES).difference(OURS):
        monkeypatch.delitem(MEASURES, name)


def lines_of(error: StudyError) -> list[str]:
    """Return the problems without the file, which every line names."""
    lines = error.message.splitlines()
    assert all(line.startswith("study.toml: ") for line in lines)
    return [line.removeprefix("study.toml: ") for line in lines]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "",
            [
                'models: it is missing; say which models are read: models = ["offline"]',
                'texts: it is missing; say which texts are read: texts = ["wikipedia"]',
            ],
        ),
        (
            GOOD + "k = 10",
            ["k = 10: there is no such key in a study; did you mean ks?"],
        ),
        (
            'models = ["offline"]\ntext = ["news"]',
            ['text = ["news"]: there is no such key in a study; did you mean texts?'],
        ),
        (
            'model = "offline"\ntexts = "news"',
            ['model = "offline": there is no such key in a study; did you mean models?'],
        ),
        (GOOD + "zzz = 1", [f"zzz = 1: there is no such key in a study; {KNOWN_KEYS}"]),
        (
            'models = "gemma"\ntexts = "news"',
            [f'models = "gemma": {NO_MODEL}; did you mean gemma-7b or gemma-2b or gemma-2-9b?'],
        ),
        (GOOD + 'n = "256"', ['n = "256": expected a whole number, at least 2, or "all"']),
        (GOOD + "n = 1", ['n = 1: expected a whole number, at least 2, or "all"']),
        (GOOD + "n = true", ['n = true: expected a whole number, at least 2, or "all"']),
        (GOOD + "seed = -1", ["seed = -1: expected a whole number from 0 to 4294967295"]),
        (GOOD + "max_tokens = 0", ["max_tokens = 0: expected a whole number, at least 1"]),
        (
            GOOD + 'name = "a\\u0007b"',
            [
                'name = "a\\u0007b": expected a name in quotes of 1 to 80 characters that can be printed'
            ],
        ),
        (
            GOOD + f'name = "{"a" * 81}"',
            [
                f'name = "{"a" * 79}...: expected a name in quotes of 1 to 80 characters that can be '
                "printed"
            ],
        ),
        ("models = 3\ntexts = 2024-01-31", [f"models = 3: {NAMES}", f"texts = 2024-01-31: {ONE_TEXT_SET}"]),
        (
            "models = []\ntexts = []",
            [
                f"models = []: {NAMES}",
                f"texts = []: expected a list of text sets, each {ONE_TEXT_SET.removeprefix('expected ')}",
            ],
        ),
        ('models = ["offline", 3, ""]\ntexts = "news"', [f"models[2] = 3: {NAMES}", f'models[3] = "": {NAMES}']),
        (
            GOOD + "keep = 3\nloading = []\nresources = 1.5",
            [
                "keep = 3: expected a table: a line [keep], its keys below",
                "loading = []: expected a table: a line [loading], its keys below",
                "resources = 1.5: expected a table: a line [resources], its keys below",
            ],
        ),
        (
            GOOD + "[keep]\nactivations = 1\nneighbours = 100",
            [
                "keep.activations = 1: expected true or false",
                "keep.neighbours = 100: there is no such key in [keep]; did you mean neighbors?",
            ],
        ),
        (
            GOOD + "[keep]\nactivations = false\nks = [1]\n",
            [f"keep.ks = [1]: there is no such key in [keep]; {ABOVE}"],
        ),
        (
            GOOD + "[study]\nks = [1]\n",
            [f"study = {{ ks = [1] }}: there is no such key in a study; {ABOVE}, in no table"],
        ),
        (
            GOOD + 'dtype = "float32"\nneighbors = 3\ngpus = 1\ncolumn = "text"',
            [
                'dtype = "float32": there is no such key in a study; it belongs in [loading]',
                "neighbors = 3: there is no such key in a study; it belongs in [keep]",
                "gpus = 1: there is no such key in a study; it belongs in [resources]",
                'column = "text": there is no such key in a study; it belongs in an entry of texts',
            ],
        ),
        (
            'models = "offline"\n[[texts]]\ntexts = "news"\nks = [3]\ncolum = "a"',
            [
                f"texts[1].ks = [3]: there is no such key in an entry of texts; {ABOVE}",
                'texts[1].colum = "a": there is no such key in an entry of texts; did you mean column?',
            ],
        ),
        (
            'models = ["smollm2-135m", "./base", "base.gguf", "gemma-2b(dtyp=float16)", "paper(dtype=float16)"]\n'
            'texts = "news"',
            [
                f'models[1] = "smollm2-135m": {NO_MODEL}; did you mean smollm2-135m-instruct or '
                "llama-3.2-3b or llama-3.2-1b?",
                f'models[2] = "./base": {NO_MODEL}; ./ is the study file\'s folder',
                f'models[3] = "base.gguf": {NO_MODEL}',
                'models[4] = "gemma-2b(dtyp=float16)": gemma-2b: \'dtyp=float16\' is no option of it; it has adapter, '
                "dtype, quantization, attention, revision, untrained, batch_tokens; write dtype=...",
                'models[5] = "paper(dtype=float16)": paper is a group, which takes no options; what holds '
                "for all models stands in [loading]",
            ],
        ),
        (
            'models = ["gemma-2b(dtype=bf16)", "gemma-2b(adapter=./lora)", "gemma-3-270m(revision=main)"]\n'
            'texts = "news"',
            [
                'models[1] = "gemma-2b(dtype=bf16)": there is no such dtype: expected one of float32, '
                "bfloat16, float16; did you mean bfloat16 or float16?",
                'models[2] = "gemma-2b(adapter=./lora)": there is no adapter ./lora: expected a folder or a '
                "hub id \"owner/name\"; ./ is the study file's folder",
                'models[3] = "gemma-3-270m(revision=main)": gemma-3-270m is no hub model, so it has no '
                "revision",
            ],
        ),
        (
            'models = ["gemma-2b", "offline", "google/gemma-2b", "gemma-2b", "paper", "offline"]\n'
            'texts = "news"',
            [
                'models[3] = "google/gemma-2b": it stands in models[1] already, as gemma-2b',
                'models[4] = "gemma-2b": it stands in models[1] already',
                'models[6] = "offline": it stands in models[2] already',
            ],
        ),
        (
            'models = ["google/gemma-2b", "paper"]\ntexts = "news"',
            ['models[2] = "paper": its gemma-2b stands in models[1] already, as google/gemma-2b'],
        ),
        (
            'models = "offline"\nalso_as_chat = ["gemma-2b", "paper", "offline", "offline"]\ntexts = "news"',
            [
                'also_as_chat[1] = "gemma-2b": it is not among the models of the study: '
                "smollm2-135m-instruct, gemma-3-270m, qwen2.5-coder-0.5b-instruct; did you mean "
                "gemma-3-270m?",
                'also_as_chat[2] = "paper": it is not among the models of the study: '
                "smollm2-135m-instruct, gemma-3-270m, qwen2.5-coder-0.5b-instruct",
                'also_as_chat[4] = "offline": it stands in also_as_chat[3] already',
            ],
        ),
        (
            'models = "offline"\ntexts = ["new", "casar(news)", "-", "caesar(-)", "notes.md", "caesar"]',
            [
                f'texts[1] = "new": {NO_TEXTS}; did you mean news?',
                "texts[2] = \"casar(news)\": there is no control 'casar'; controls: caesar, "
                "shuffled-words, shuffled-sentences, truncated-to-n-tokens, same-ending, random-strings; "
                "did you mean caesar?",
                'texts[3] = "-": standard input can be read once only, and a study is read again when it '
                "goes on; put the texts into a file",
                'texts[4] = "caesar(-)": standard input can be read once only, and a study is read again '
                "when it goes on; put the texts into a file",
                "texts[5] = \"notes.md\": there is no reader of '.md' files: expected .txt, .jsonl, .csv, "
                ".parquet",
                'texts[6] = "caesar": caesar is made from another text set; write caesar(news), say',
            ],
        ),
        (
            'models = "offline"\ntexts = ["random-strings(length=0)", "caesar(news, characters=most)", '
            '"hf:imdb", "hf:./data", "truncated-to-9-tokens(news, tokenizer=gemma)"]',
            [
                'texts[1] = "random-strings(length=0)": random-strings: length must be at least 1; got 0',
                'texts[2] = "caesar(news, characters=most)": caesar: characters must be all or letters; got '
                "'most'",
                'texts[3] = "hf:imdb": expected hf:owner/name[@revision][/config][:split][:column]; for '
                "example hf:stanfordnlp/imdb:test:text",
                'texts[4] = "hf:./data": there is no folder ./data; ./ is the study file\'s folder',
                f'texts[5] = "truncated-to-9-tokens(news, tokenizer=gemma)": {NO_MODEL}; did you mean '
                "gemma-7b or gemma-2b or gemma-2-9b?",
            ],
        ),
        (
            'models = "offline"\ntexts = ["news", "news", { texts = "news", n = 99 }, '
            '{ texts = "imdb", name = "news" }]',
            [
                'texts[2] = "news": it stands in texts[1] already',
                'texts[3] = { texts = "news", n = 99 }: texts[1] is called "news" too; give one of them '
                'another name: { ..., name = "..." }',
                'texts[4] = { texts = "imdb", name = "news" }: texts[1] is called "news" too; give one of '
                'them another name: { ..., name = "..." }',
            ],
        ),
        (
            'models = "offline"\ntexts = ["ifeval", { left = "handbook-en", right = "handbook-de", n = 2315 }]',
            [
                'texts[1] = "ifeval": 2,048 texts are asked for, and there are 541; { texts = "ifeval", '
                'n = "all" } takes all',
                'texts[2].n = 2315: 2,315 texts are asked for, and there are 2,314; { left = '
                '"handbook-en", right = "handbook-de", n = "all" } takes all',
            ],
        ),
        (
            'models = "offline"\ntexts = [{ left = "news" }, { right = "news" }, { n = 5 }, '
            '{ texts = "news", right = "imdb" }, { texts = "imdb", right_column = "b" }, '
            '{ left = "mmlu", right = "mmlu" }, { left = "news", right = "imdb" }]',
            [
                'texts[1].left = "news": expected right beside it; what all models read is called texts',
                'texts[2].right = "news": expected left beside it; what all models read is called texts',
                'texts[3] = { n = 5 }: it does not say what is read: expected texts = "...", or left and '
                "right",
                'texts[4].texts = "news": what all models read cannot have right beside it',
                'texts[5].right_column = "b": only a pair, left and right, has a right_column',
                'texts[6].right = "mmlu": it is the same as left; what all models read is called texts',
                'texts[7] = { left = "news", right = "imdb" }: rows of news and imdb do not belong '
                f"together; {PAIRS}",
            ],
        ),
        (
            'models = "offline"\ntexts = [{ texts = "news", column = "a" }, { texts = "news", source = "hub" }, '
            '{ texts = "imdb", source = "hb" }, { texts = "random-strings", source = "hub" }, '
            '{ texts = "notes.txt", source = "hub" }, { texts = "hf:a/b:train:x", column = "y" }, '
            '{ texts = "imdb", min_chars = 9, max_chars = 5, dedupe = "yes" }, '
            '{ texts = "imdb", min_chars = 9, max_chars = 5, seed = 1.5 }, '
            '{ texts = "imdb", min_chars = 9, max_chars = 5 }]',
            [
                "texts[1].texts = \"news\": column is 'a', and text set news has no columns to choose from",
                "texts[2].texts = \"news\": text set 'news' has no source 'hub'; it has offline",
                'texts[3].source = "hb": expected offline or hub; did you mean hub?',
                "texts[4].texts = \"random-strings\": source is 'hub', and random-strings has no sources to "
                "choose from; only sets of the catalogue have",
                "texts[5].texts = \"notes.txt\": source is 'hub', and a file has no sources to choose "
                "from; only sets of the catalogue have",
                "texts[6].texts = \"hf:a/b:train:x\": it names the column 'x', and column is 'y'",
                'texts[7].dedupe = "yes": expected true or false',
                "texts[8].seed = 1.5: expected a whole number from 0 to 4294967295",
                "texts[9].min_chars = 9: it is above max_chars = 5: no text fits",
            ],
        ),
        (
            GOOD + 'captures = ["embedding", "blok", "block", "block"]\npoolings = ["lats", -1, "last", 1.5]\n'
            'measures = "knn"\nmetric = "cosin"',
            [
                'captures[1] = "embedding": it is one layer, which is no depth to compare; expected one '
                "of block, final_norm, attention, mlp",
                'captures[2] = "blok": there is no such capture: expected one of block, final_norm, '
                "attention, mlp; did you mean block?",
                'captures[4] = "block": it stands in captures[3] already',
                'poolings[1] = "lats": there is no such pooling: expected one of last, mean, first, or a '
                "token's place, a whole number; did you mean last?",
                'poolings[3] = "last": it stands in poolings[2] already',
                "poolings[4] = 1.5: expected a name in quotes or a whole number",
                'measures = "knn": there is no such measure: expected one of '
                f"{', '.join(OURS)}; did you mean cknna or rank_knn or cycle_knn?",
                'metric = "cosin": there is no such metric: expected one of '
                f"{', '.join(METRICS)}; did you mean cosine or correlation?",
            ],
        ),
        (
            'models = "offline"\nn = 60\ntexts = ["news", { texts = "ifeval", n = "all" }]\n'
            'ks = [10, 10, 60, "7", 0, 541]\n[keep]\nneighbors = 3',
            [
                "ks[2] = 10: it stands in ks[1] already",
                "ks[3] = 60: expected less than the number of texts of every set; news has 60",
                'ks[4] = "7": expected a whole number, at least 1',
                "ks[5] = 0: expected a whole number, at least 1",
                "ks[6] = 541: expected less than the number of texts of every set; news has 60, ifeval has "
                "541",
                "keep.neighbors = 3: expected at least 541, the largest of ks",
            ],
        ),
        (
            GOOD + '[loading]\ndtype = "bf16"\nquantization = "4-bit"\nattention = "flash"\ndevice = "gpu"\n'
            'device_map = "balanced"\ntrust_remote_code = "yes"\ndtyp = 1',
            [
                'loading.dtype = "bf16": there is no such dtype: expected one of float32, bfloat16, '
                "float16; did you mean bfloat16 or float16?",
                'loading.quantization = "4-bit": there is no such quantization: expected one of 8bit, '
                "4bit; did you mean 4bit or 8bit?",
                'loading.attention = "flash": there is no such attention: expected one of eager, sdpa, '
                "flash_attention_2, flash_attention_3, flex_attention; did you mean flash_attention_2 or "
                "flash_attention_3?",
                'loading.device = "gpu": device must be cpu, cuda, cuda:NUMBER or mps; got \'gpu\'',
                'loading.device_map = "balanced": there is no such device_map: expected one of auto',
                'loading.trust_remote_code = "yes": expected true or false',
                "loading.dtyp = 1: there is no such key in [loading]; did you mean dtype?",
            ],
        ),
        (
            GOOD + '[loading]\nuntrained = -1\nbatch_tokens = 0',
            [
                "loading.untrained = -1: expected a seed, a whole number from 0 to 4294967295",
                "loading.batch_tokens = 0: expected a whole number, at least 1",
            ],
        ),
        (
            GOOD + '[loading]\nuntrained = true\nbatch_tokens = "512"',
            [
                "loading.untrained = true: expected a seed, a whole number from 0 to 4294967295",
                'loading.batch_tokens = "512": expected a whole number, at least 1',
            ],
        ),
        (
            'models = ["imported(gemma-2b)", "gemma-2b", "gemma-2b(adapter=imported(x))"]\n'
            'texts = ["news", "imported(news)", "caesar(imported(mine))",\n'
            '{ texts = "imported(mine)", column = "a" }]',
            [
                'models[2] = "gemma-2b": results would call it as they call models[1], imported(gemma-2b)',
                'models[3] = "gemma-2b(adapter=imported(x))": imported(x) stands for imported readings, and '
                "there is no adapter to read; imported readings are taken by 'isodepth run STUDY "
                "--imported' alone",
                'texts[2] = "imported(news)": texts[1] is called "news" too; give one of them another name: '
                '{ ..., name = "..." }',
                'texts[3] = "caesar(imported(mine))": imported(mine) stands for imported readings, and '
                "there is no text set to read; imported readings are taken by 'isodepth run STUDY "
                "--imported' alone",
                "texts[4].texts = \"imported(mine)\": column is 'a', and what was imported has no columns to "
                "choose from",
            ],
        ),
        (
            GOOD + '[loading]\ndevice = "cpu"\ndevice_map = "auto"',
            ['loading.device_map = "auto": it excludes device: a device map chooses the devices itself'],
        ),
        (
            GOOD + "[resources]\ncpus = -1\ngpus = 1.5\nmemory_gb = nan\n"
            '[resources.models]\n"gemma-3-270" = 3\n'
            "[resources.models.offline]\ngpus = 1\n"
            '[resources.models."gemma-2b"]\ngpus = 1\n'
            "[resources.models.gemma-3-270m]\ngpu = 1\ncpus = inf\n"
            "[resources.gemma-3-270m]\ngpus = 1\n"
            "[resources.models.llama-3.1-70b]\ngpus = 2\n"
            "[resources.neighbors]\ngpus = 1\ncpus = -2\n",
            [
                "resources.cpus = -1: expected a number, at least 0",
                "resources.gpus = 1.5: expected a number, at least 0, and a whole one above 1",
                "resources.memory_gb = nan: expected a number above 0",
                'resources.models.gemma-3-270 = 3: expected a table: a line [resources.models."MODEL"], '
                "its keys below",
                "resources.models.offline = { gpus = 1 }: it is a group; write a table for each of its "
                "models",
                "resources.models.gemma-2b = { gpus = 1 }: it is not among the models of the study: "
                "smollm2-135m-instruct, gemma-3-270m, qwen2.5-coder-0.5b-instruct; did you mean "
                "gemma-3-270m?",
                'resources.models.gemma-3-270m.gpu = 1: there is no such key in [resources.models."MODEL"]; '
                "did you mean gpus?",
                "resources.models.gemma-3-270m.cpus = inf: expected a number, at least 0",
                "resources.models.llama-3.1-70b = { gpus = 2 }: there is no such key in "
                '[resources.models."MODEL"]; a name with a dot stands in quotes: '
                '[resources.models."llama-3.1-70b"]',
                "resources.gemma-3-270m = { gpus = 1 }: there is no such key in [resources]; what one model "
                'needs stands under [resources.models."gemma-3-270m"]',
                "resources.neighbors.gpus = 1: there is no such key in [resources.neighbors]; it belongs in "
                "[resources]",
                "resources.neighbors.cpus = -2: expected a number, at least 0",
            ],
        ),
    ],
)  # fmt: skip
def test_all_problems_are_listed_with_key_value_and_what_is_allowed(
    text: str, lines: list[str], refused: Refused, tmp_path: Path
) -> None:
    (tmp_path / "notes.md").touch()
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    error = refused(text)
    assert lines_of(error) == lines
    assert error.hint == (COUNTED if any("[" in line.split(" = ")[0] for line in lines) else None)


def test_problems_stand_in_the_order_of_the_file(refused: Refused) -> None:
    keys = [
        "ks = 0",
        'metric = "a"',
        "n = 0",
        'models = "nope"',
        "k = 1",
        'texts = "nope"',
        "seed = -1",
    ]
    for turned in (keys, keys[::-1]):
        found = [line.split(":")[0].split(" = ")[0] for line in lines_of(refused("\n".join(turned)))]
        assert found == [key.split(" = ")[0] for key in turned]


def test_a_file_beside_the_study_is_pointed_to(
    refused: Refused, tmp_path: Path, written: object
) -> None:
    (tmp_path / "reviews.csv").write_text("text\none\ntwo\n")
    (tmp_path / "lora-one").mkdir()
    error = refused('models = ["./lora-on", "../lora-on/x"]\ntexts = ["./review.csv"]')
    assert lines_of(error)[0] == (
        f'models[1] = "./lora-on": {NO_MODEL}; ./ is the study file\'s folder; did you mean ./lora-one?'
    )
    assert (
        lines_of(error)[1] == f'models[2] = "../lora-on/x": {NO_MODEL}; ./ is the study file\'s folder'
    )
    assert lines_of(error)[2] == (
        f'texts[1] = "./review.csv": {NO_TEXTS}; ./ is the study file\'s folder; did you mean '
        "./reviews.csv?"
    )


def test_a_path_without_its_dot_is_no_path_from_the_study(tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text("text\none\ntwo\n")
    (tmp_path / "study.toml").write_text('models = "offline"\ntexts = "reviews.csv"\nn = 2\nks = 1')
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "study.toml")
    assert caught.value.message == (
        f'{tmp_path / "study.toml"}: texts = "reviews.csv": {NO_TEXTS}; in the study file\'s folder are '
        "names that begin with ./; did you mean ./reviews.csv?"
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('models = ["offline', "line 1, where the file ends: not TOML: unterminated string"),
        ("models = offline", "line 1, column 10: not TOML: invalid value"),
        (
            "a = 1\n\nmodels: 3",
            "line 3, column 7: not TOML: expected '=' after a key in a key/value pair",
        ),
        ("ks = 1\nks = 2", "line 2, where the file ends: not TOML: cannot overwrite a value"),
    ],
)
def test_broken_toml_is_told_with_its_line(text: str, said: str, refused: Refused) -> None:
    error = refused(text)
    assert error.message == f"study.toml: {said}"
    assert error.hint == (
        'names stand in quotes, lists in brackets: models = ["gemma-2b", "./folder"].'
    )


@pytest.mark.parametrize("text", ["n = " + "9" * 5000, "n = " + "[" * 5000], ids=["digits", "brackets"])
def test_toml_without_measure_is_refused(text: str, refused: Refused) -> None:
    assert refused(text).message.startswith("study.toml: cannot be read as TOML: ")


def test_values_of_any_size_can_be_told_of(refused: Refused) -> None:
    deep = "[" * 90 + "]" * 90
    error = refused(
        f"{GOOD}n = 0x{'f' * 9999}\nks = [{deep}]\nseed = '{'a' * 99}'\nzz = [1, 2, 3, 4, 5]"
    )
    assert lines_of(error) == [
        'n = a number of more than 80 digits: expected a whole number, at least 2, or "all"',
        "ks[1] = [[[...]]]: expected a whole number, at least 1",
        f'seed = "{"a" * 79}...: expected a whole number from 0 to 4294967295',
        f"zz = [1, 2, 3, 4, ...]: there is no such key in a study; {KNOWN_KEYS}",
    ]


def test_a_file_that_is_not_there_is_told_with_its_likes(tmp_path: Path) -> None:
    for name in ("small.toml", "paper.toml", "notes.txt"):
        (tmp_path / name).touch()
    for asked in ("smal.toml", "small"):
        with pytest.raises(StudyError) as caught:
            load_study(tmp_path / asked)
        assert caught.value.message == f"there is no file {tmp_path / asked}"
        assert caught.value.hint == f"did you mean {tmp_path / 'small.toml'}?"
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "xyzxyz")
    assert caught.value.hint == "a study is a .toml file."
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path / "nowhere" / "small.toml")
    assert caught.value.message == (
        f"there is no file {tmp_path / 'nowhere' / 'small.toml'}, and no folder {tmp_path / 'nowhere'}"
    )


def test_a_folder_is_told_with_the_files_in_it(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(tmp_path)
    assert caught.value.message == f"{tmp_path} is a folder; expected a study file"
    assert caught.value.hint == "it holds no .toml file."
    for name in ("small.toml", "paper.toml", "notes.txt"):
        (tmp_path / name).touch()
    with pytest.raises(StudyError) as caught:
        load_study(str(tmp_path))
    assert caught.value.hint == "it holds paper.toml, small.toml."


def test_a_file_of_another_encoding_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    path.write_bytes(b'models = "offline"\nname = "caf\xe9"\n')
    with pytest.raises(StudyError) as caught:
        load_study(path)
    assert caught.value.message == f"{path}: line 2 is not UTF-8, which TOML files are"
    assert caught.value.hint == "save the file as UTF-8."


@pytest.mark.parametrize("name", ["a\0b", "a" * 4000])
def test_a_name_that_no_file_can_have_is_refused(name: str) -> None:
    with pytest.raises(StudyError):
        load_study(name)


def test_from_python_errors_name_the_key_alone() -> None:
    with pytest.raises(StudyError) as caught:
        Study.of(models=["offline"], texts="news", k=10, ks=(1.5,), captures=object)
    assert caught.value.message.splitlines()[:2] == [
        "k = 10: there is no such key in a study; did you mean ks?",
        "ks[1] = 1.5: expected a whole number, at least 1",
    ]
    assert caught.value.message.splitlines()[2].endswith(": expected a name in quotes")
    assert issubclass(StudyError, IsodepthError)
    assert issubclass(StudyError, ValueError)


def test_what_numpy_gives_is_told_of_as_python_writes_it() -> None:
    with pytest.raises(StudyError) as caught:
        Study.of(models="offline", texts="news", ks=np.array([3, 0]), n=np.int64(1))
    assert caught.value.message.splitlines() == [
        "ks[2] = 0: expected a whole number, at least 1",
        'n = 1: expected a whole number, at least 2, or "all"',
    ]
