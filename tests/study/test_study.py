"""What a study file means: its defaults, its paths, its texts, and back."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isodepth import LoadingOptions
from isodepth.errors import ParameterError, StudyError
from isodepth.models import MODEL_GROUPS, resolve_model
from isodepth.models.names import model_name
from isodepth.study import Resources, Study, StudyTexts, load_study
from isodepth.texts import load_parallel_texts, load_texts

Loaded = Callable[[str], Study]
STUDIES = Path(__file__).parents[2] / "studies"
TWO = {"models": ["gemma-3-270m", "smollm2-135m-instruct"], "texts": ["wikipedia"]}


def test_two_keys_are_enough(loaded: Loaded) -> None:
    study = loaded('models = "gemma-3-270m"\ntexts = "wikipedia"')
    assert study == Study(
        name="study",
        path=Path("study.toml"),
        models=("gemma-3-270m",),
        texts=(StudyTexts(name="wikipedia", left="wikipedia", n=2048),),
    )
    assert (study.seed, study.ks, study.captures, study.poolings) == (
        1234,
        (10,),
        ("block",),
        ("last",),
    )
    assert (study.metric, study.measures, study.max_tokens) == ("cosine", ("mutual_knn",), None)
    assert (study.keep_activations, study.keep_neighbors) == (False, 100)
    assert study.resources_of("gemma-3-270m") == Resources(cpus=1, gpus=0, memory_gb=None)


def test_neighbors_take_what_a_reading_takes_but_its_gpu_unless_it_is_said(loaded: Loaded) -> None:
    two_keys = 'models = ["gemma-3-270m", "gemma-2b"]\ntexts = "wikipedia"\n'
    study = loaded(
        two_keys + "[resources]\ncpus = 3\ngpus = 1\nmemory_gb = 9\n"
        '[resources.models."gemma-2b"]\ncpus = 5\ngpus = 2'
    )
    assert study.neighbors_resources is None
    found = [study.resources_for_neighbors(model) for model in study.models]
    assert found == [Resources(cpus=3, memory_gb=9), Resources(cpus=5, memory_gb=9)]
    assert "neighbors" not in study.as_dict()["resources"]
    study = loaded(two_keys + "[resources]\ngpus = 1\n[resources.neighbors]\nmemory_gb = 64")
    assert study.resources_for_neighbors("gemma-2b") == Resources(cpus=1, memory_gb=64)
    assert study.as_dict()["resources"]["neighbors"] == {"cpus": 1.0, "memory_gb": 64.0}


def test_one_thing_alone_is_a_list_of_one(loaded: Loaded) -> None:
    alone = loaded(
        'models = "offline"\nalso_as_chat = "offline"\ntexts = { texts = "news" }\ncaptures = "mlp"\n'
        'poolings = -3\nmeasures = "mutual_knn"\nks = 7'
    )
    listed = loaded(
        'models = ["offline"]\nalso_as_chat = ["offline"]\ntexts = [{ texts = "news" }]\n'
        'captures = ["mlp"]\npoolings = [-3]\nmeasures = ["mutual_knn"]\nks = [7]'
    )
    assert alone == listed
    assert (listed.ks, listed.poolings) == ((7,), (-3,))


def test_every_key_reaches_the_study(loaded: Loaded) -> None:
    study = loaded("""
        name = "mine"
        n = 97
        seed = 5
        models = ["offline", "owner/name@main", "gemma-2b(dtype=bfloat16)"]
        also_as_chat = ["smollm2-135m-instruct", "owner/name@main"]
        texts = [
          "news",
          { texts = "ifeval", n = "all", seed = 0 },
          { left = "handbook-en", right = "handbook-de", name = "manual" },
          { texts = "hf:a/b:train", column = "x", min_chars = 2, max_chars = 99, dedupe = true },
          { texts = "imdb", source = "hub" },
          { left = "mmlu", right = "caesar(mmlu)" },
        ]
        captures = ["final_norm", "block"]
        poolings = ["mean", 0, -2]
        max_tokens = 64
        ks = [1, 96]
        [keep]
        activations = true
        neighbors = 96
        [loading]
        dtype = "float16"
        device = "cuda:1"
        attention = "eager"
        trust_remote_code = true
        untrained = 0
        batch_tokens = 512
        [resources]
        cpus = 2
        memory_gb = 8
        [resources.models."owner/name@main"]
        gpus = 0.5
        [resources.models."qwen2.5-coder-0.5b-instruct"]
        memory_gb = 16.5
        [resources.neighbors]
        cpus = 12
    """)
    assert study.name == "mine"
    assert study.models == (*MODEL_GROUPS["offline"], "owner/name@main", "gemma-2b(dtype=bfloat16)")
    assert study.also_as_chat == ("smollm2-135m-instruct", "owner/name@main")
    assert [(one.name, one.n, one.seed) for one in study.texts] == [
        ("news", 97, 5),
        ("ifeval", None, 0),
        ("manual", 97, 5),
        ("hf:a/b:train", 97, 5),
        ("imdb", 97, 5),
        ("mmlu x caesar(mmlu)", 97, 5),
    ]
    assert [one.is_pair for one in study.texts] == [False, False, True, False, False, True]
    hub = study.texts[3]
    assert (hub.column, hub.min_chars, hub.max_chars, hub.dedupe) == ("x", 2, 99, True)
    assert study.texts[4].source == "hub"
    assert (study.texts[2].left, study.texts[2].right) == ("handbook-en", "handbook-de")
    assert (study.keep_activations, study.keep_neighbors) == (True, 96)
    assert study.loading == LoadingOptions(
        dtype="float16",
        device="cuda:1",
        attention="eager",
        trust_remote_code=True,
        untrained=0,
        batch_tokens=512,
    )
    assert study.resources == Resources(cpus=2, gpus=0, memory_gb=8)
    assert study.resources_of("owner/name@main") == Resources(cpus=2, gpus=0.5, memory_gb=8)
    assert study.resources_of("qwen2.5-coder-0.5b-instruct") == Resources(cpus=2, memory_gb=16.5)
    assert study.resources_of("gemma-3-270m") == study.resources
    assert study.neighbors_resources == Resources(cpus=12, gpus=0, memory_gb=8)
    assert study.resources_for_neighbors("owner/name@main") == study.neighbors_resources
    wanted = study.extraction_options(True)
    assert [(one.capture, one.pooling) for one in wanted] == [
        (capture, pooling) for capture in ("final_norm", "block") for pooling in ("mean", "first", -2)
    ]
    assert {(one.max_tokens, one.chat) for one in wanted} == {(64, True)}
    assert {one.chat for one in study.extraction_options(False)} == {False}
    assert str(study).startswith("Study('mine', models=5, texts=['news', 'ifeval', 'manual',")


def test_more_neighbors_are_kept_where_a_k_needs_them(loaded: Loaded) -> None:
    start = 'models = "offline"\ntexts = "news"\n'
    assert loaded(start + "ks = [3, 131]").keep_neighbors == 131
    assert loaded(start + "ks = [3]").keep_neighbors == 100
    assert loaded(start + "ks = [3]\n[keep]\nneighbors = 5").keep_neighbors == 5


def test_each_model_is_read_once_whatever_the_groups(loaded: Loaded) -> None:
    study = loaded(
        'models = ["gemma-2b", "paper-tuned", "paper"]\ntexts = "news"\nalso_as_chat = "paper-tuned"'
    )
    assert len(study.models) == len(set(study.models)) == 24
    assert study.models[:2] == ("gemma-2b", MODEL_GROUPS["paper-tuned"][0])
    assert study.also_as_chat == MODEL_GROUPS["paper-tuned"]
    some = loaded(
        'models = ["gemma-2-9b-it", "gemma-2b"]\ntexts = "news"\nalso_as_chat = "paper-tuned"'
    )
    assert some.also_as_chat == ("gemma-2-9b-it",)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "caf\u00e9.toml"
    path.write_text('models = "offline"\ntexts = "news"', encoding="utf-8-sig")
    assert load_study(str(path)).name == "caf\u00e9"


@pytest.mark.parametrize(
    ("file", "name"),
    [("a\u200bb.toml", "ab"), (" .toml", "study"), ("x" * 120 + ".toml", "x" * 80), ("b", "b")],
)
def test_a_study_is_called_after_its_file(file: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / file
    path.write_text('models = "offline"\ntexts = "news"')
    assert load_study(path).name == name


ODD = "a (b), 'c' = d"


@pytest.mark.parametrize("folder", ["plain", ODD, "x(1)", "@rev"])
def test_names_with_a_dot_are_paths_from_the_study(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / folder
    for name in ("base", "lora", "more/data"):
        (home / name).mkdir(parents=True)
    (home / "m.gguf").touch()
    (home / "more" / "study.toml").write_text("""
        models = ["../base", "../base(adapter=../lora, dtype=bfloat16)", "gemma-2b( adapter='../lora' )",
                  "owner/name@main(adapter=../lora)", "../m.gguf"]
        also_as_chat = ["../base(adapter=../lora, dtype=bfloat16)"]
        texts = ["./t.txt", "caesar(./t.txt, seed=3)", "caesar(shuffled-words('./t.txt'))", "hf:./data:train",
                 { left = "./t.csv", right = "./t.csv", column = "a", right_column = "b" },
                 "truncated-to-9-tokens(news, tokenizer=../base)", "./data"]
        n = 2
        ks = 1
        [resources.models."../base"]
        gpus = 1
    """)
    (home / "more" / "t.csv").write_text("a,b\none,eins\ntwo,zwei\n")
    (home / "more" / "t.txt").write_text("one two three\nfour five six\n")
    monkeypatch.chdir(tmp_path)
    study = load_study(Path(folder) / "more" / "study.toml")
    base, lora = home / "more" / "../base", home / "more" / "../lora"
    said = [
        model_name(model) if "(" in model.removeprefix(str(base)) else None for model in study.models
    ]
    assert study.models[0] == str(base)
    assert (Path(said[1].name), Path(said[1].options["adapter"])) == (base, lora)
    assert said[1].options["dtype"] == "bfloat16"
    assert (said[2].name, Path(said[2].options["adapter"])) == ("gemma-2b", lora)
    assert said[3].options == {"adapter": str(lora), "revision": "main"}
    assert study.models[4] == str(home / "more" / "../m.gguf")
    assert study.also_as_chat == (study.models[1],)
    assert study.resources_of(study.models[0]).gpus == 1
    assert [one.name for one in study.texts] == [
        "t.txt", "caesar(./t.txt, seed=3)", "caesar(shuffled-words('./t.txt'))", "hf:./data:train",
        "t.csv x t.csv", "truncated-to-9-tokens(news, tokenizer=../base)", "data",
    ]  # fmt: skip
    monkeypatch.chdir("/")
    for texts in study.texts[:3]:
        assert len(texts.load()) == 2
        assert texts.load().left.name == texts.load().right.name == texts.name
    pair = study.texts[4].load()
    assert (pair.left.name, pair.right.name) == ("t.csv:a", "t.csv:b")
    assert set(zip(pair.left.texts, pair.right.texts, strict=True)) == {
        ("one", "eins"),
        ("two", "zwei"),
    }
    kept = json.dumps(study.as_dict())
    assert str(tmp_path) not in kept
    assert study.as_dict()["models"] == [
        "../base", "../base(adapter=../lora, dtype=bfloat16)", "gemma-2b( adapter='../lora' )",
        "owner/name@main(adapter=../lora)", "../m.gguf",
    ]  # fmt: skip
    assert study.as_dict()["resources"]["models"] == {"../base": {"cpus": 1.0, "gpus": 1.0}}
    assert study.as_dict()["texts"][4]["left"] == "./t.csv"


def test_a_folder_that_reads_as_options_is_refused(tmp_path: Path) -> None:
    home = tmp_path / "x(dtype=float16)"
    (home / "base").mkdir(parents=True)
    (home / "study.toml").write_text(
        'models = ["./base", "./base(dtype=bfloat16, attention=eager)"]\ntexts = "news"'
    )
    with pytest.raises(StudyError) as caught:
        load_study(home / "study.toml")
    assert caught.value.message == (
        f'{home / "study.toml"}: models[2] = "./base(dtype=bfloat16, attention=eager)": parentheses in the '
        f"path {home / 'base'} read as options; rename the folder"
    )


def test_a_path_of_the_current_folder_travels_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "two.txt").write_text("one\ntwo\n")
    monkeypatch.chdir(tmp_path)
    study = Study.of(
        models=["base", Path("./base(adapter=base)")], texts=Path("two.txt"), n="all", ks=1
    )
    assert study.models == (str(tmp_path / "base"), f"{tmp_path}/base(adapter={tmp_path}/base)")
    assert study.texts[0].left == str(tmp_path / "two.txt")
    assert study.texts[0].name == "two.txt"
    assert study.shown(study.models[0]) == "base"
    monkeypatch.chdir("/")
    assert study.texts[0].load().left.texts == ("one", "two")


def test_a_parallel_pair_of_controls_is_called_what_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "two.csv").write_text("a,b\none two,eins zwei\nthree four,drei vier\n")
    monkeypatch.chdir(tmp_path)
    study = Study.of(
        models="offline",
        n="all",
        texts={"left": "./two.csv", "right": "caesar(./two.csv)", "column": "a", "right_column": "a"},
    )
    pair = study.texts[0].load()
    assert (pair.left.name, pair.right.name) == ("two.csv", "caesar(./two.csv)")
    expected = load_parallel_texts("two.csv", "caesar(two.csv)", column="a", right_column="a")
    assert (pair.left.digest, pair.right.digest) == (expected.left.digest, expected.right.digest)


def test_exactly_as_many_texts_are_loaded_as_the_study_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.txt").write_text("".join(f"text {number}\n" for number in range(13)))
    monkeypatch.chdir(tmp_path)
    texts = {"texts": "./t.txt", "seed": 3, "name": "mine"}
    study = Study.of(models="offline", texts=[{**texts, "n": 7}], ks=3)
    pair = study.texts[0].load()
    assert len(pair) == 7
    assert pair.left.digest == pair.right.digest == load_texts("t.txt", n=7, seed=3).digest
    assert pair.left.name == "mine"
    everything = Study.of(models="offline", texts=[{**texts, "n": "all"}], ks=3).texts[0].load()
    assert everything.left.texts == load_texts("t.txt").texts
    more = Study.of(models="offline", texts=[{**texts, "n": 14}], ks=3)
    with pytest.raises(ParameterError, match=r"n = 14 texts were asked for; expected 2 <= n <= 13"):
        more.texts[0].load()


def test_downloads_are_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports: list[str] = []
    monkeypatch.setattr(
        "isodepth.study.study.load_texts",
        lambda *args, progress, **rest: progress("label", 1, 1, "bytes") or load_texts(["a", "b"]),
    )
    study = Study.of(**TWO)
    study.texts[0].load(lambda label, done, total, unit: reports.append(label))
    assert reports == ["label"]


def test_python_takes_what_a_file_takes_and_more() -> None:
    study = Study.of(
        **TWO,
        n=np.int64(31),
        ks=np.array([1, 5]),
        poolings=("last", np.int32(0)),
        max_tokens=None,
        loading=LoadingOptions(dtype="bfloat16"),
        resources={"cpus": np.float32(0.5), "models": {"gemma-3-270m": Resources(gpus=1)}},
        keep={"neighbors": 9},
    )
    assert (study.ks, study.poolings, study.texts[0].n) == ((1, 5), ("last", "first"), 31)
    assert type(study.texts[0].n) is int
    assert study.loading == LoadingOptions(dtype="bfloat16")
    assert study.resources_of("gemma-3-270m") == Resources(cpus=1, gpus=1)
    assert study.resources_of("smollm2-135m-instruct") == Resources(cpus=0.5)
    assert (study.path, study.name) == (None, "study")
    assert Study.of(models="offline", texts="news", ks=range(1, 4)).ks == (1, 2, 3)


@pytest.mark.parametrize("name", ["demo", "small", "paper"])
def test_a_study_comes_back_from_its_dict_and_travels(name: str) -> None:
    study = load_study(STUDIES / f"{name}.toml")
    told = study.as_dict()
    assert json.loads(json.dumps(told)) == told
    again = Study.of(**told)
    assert again == replace(study, path=None)
    assert again.as_dict() == told
    assert pickle.loads(pickle.dumps(study)) == study
    assert hash(study) == hash(load_study(STUDIES / f"{name}.toml"))
    assert str(STUDIES) not in json.dumps(told)


def test_the_demo_is_what_the_demo_command_compares() -> None:
    from isodepth.cli.demo import LEFT, N_TEXTS, RIGHT, TEXTS

    study = load_study(STUDIES / "demo.toml")
    assert study.models == (LEFT, RIGHT)
    assert study.texts == (StudyTexts(name=TEXTS, left=TEXTS, n=N_TEXTS),)
    assert study == replace(study, ks=(10,), seed=1234, captures=("block",), poolings=("last",))
    assert study.loading == LoadingOptions()


def test_the_small_study_reads_every_set_that_needs_no_hub() -> None:
    from isodepth.texts.catalogue import OFFLINE, TEXT_SETS

    study = load_study(STUDIES / "small.toml")
    assert study.models == MODEL_GROUPS["offline"]
    assert (study.ks, study.name) == ((1, 10), "small")
    offline = {name for name, sources in TEXT_SETS.items() if OFFLINE in sources}
    alone = {texts.left for texts in study.texts if not texts.is_pair}
    assert alone == {*offline, "random-strings"}
    pairs = [(texts.left, texts.right) for texts in study.texts if texts.is_pair]
    assert pairs == [("handbook-en", "handbook-de")]
    assert {texts.n for texts in study.texts} == {256}


def test_the_papers_study_is_the_papers() -> None:
    study = load_study(STUDIES / "paper.toml")
    assert study.models == MODEL_GROUPS["paper"]
    assert study.also_as_chat == MODEL_GROUPS["paper-tuned"]
    assert (study.ks, study.seed) == ((1, 10, 50, 100), 1234)
    assert (study.captures, study.poolings) == (("block", "final_norm"), ("last",))
    told = {texts.name: (texts.n, texts.source) for texts in study.texts}
    assert told == {
        "web-text": (2048, None),
        "random-strings": (2048, None),
        "imdb": (2048, "hub"),
        "wikipedia": (2048, None),
        "ifeval": (None, None),
        "mmlu": (2048, "hub"),
        "books-en": (2048, None),
        "books-de": (2048, None),
        "books-en x books-de": (2048, None),
    }
    assert study.loading.dtype == "bfloat16"
    gpus = {model: study.resources_of(model).gpus for model in study.models}
    assert {model for model, count in gpus.items() if count > 1} == {
        "mixtral-8x7b-v0.1", "falcon-40b", "llama-3.1-70b", "llama-3.1-70b-instruct", "llama-3.3-70b-instruct",
    }  # fmt: skip
    assert min(gpus.values()) == 1


def test_a_study_with_problems_is_never_returned() -> None:
    with pytest.raises(StudyError, match="^ks = 2048: expected less than the number of texts"):
        Study.of(**TWO, ks=2048)
    assert Study.of(**TWO, ks=2047).ks == (2047,)
    assert resolve_model("gemma-3-270m").name in Study.of(**TWO).models


def test_nothing_heavy_is_needed_before_a_study_is_read() -> None:
    code = (
        "import sys, isodepth.study; from isodepth.study import load_study, Study, StudyTexts, Resources; "
        "print(sorted({m.split('.')[0] for m in sys.modules}));"
        f"load_study({str(STUDIES / 'paper.toml')!r});"
        "print(sorted({m.split('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = done.stdout.splitlines()
    for heavy in ("torch", "transformers", "matplotlib", "numba", "pyarrow", "datasets", "pandas"):
        assert f"'{heavy}'" not in after, heavy
    assert "'pydantic'" not in before
    assert "'pydantic'" in after


def test_imported_names_are_taken_as_they_are_and_looked_up_nowhere(loaded: Loaded) -> None:
    study = loaded(
        'models = ["imported(my-model)", "imported(gemma-2b (bfloat16))"]\n'
        'also_as_chat = ["imported(my-model)"]\n'
        'texts = ["imported(web-text)", { left = "imported(a)", right = "imported(b)", n = 7 }]\nks = [3]'
    )
    assert study.models == ("imported(my-model)", "imported(gemma-2b (bfloat16))")
    assert study.also_as_chat == ("imported(my-model)",)
    assert [(one.name, one.n) for one in study.texts] == [("web-text", None), ("a x b", 7)]
    again = Study.of(**study.as_dict())
    assert (again.models, again.texts) == (study.models, study.texts)


def test_untrained_copies_and_other_batches_are_models_of_their_own(loaded: Loaded) -> None:
    wanted = ("gemma-3-270m", *(f"gemma-3-270m({said})" for said in ("untrained=0", "untrained=1")))
    wanted += ("gemma-3-270m(batch_tokens=256)", "gemma-3-270m(batch_tokens=256, untrained=0)")
    study = loaded(f'models = {list(wanted)}\ntexts = "news"')
    assert study.models == wanted
    with pytest.raises(StudyError, match=r"models\[2\].*it stands in models\[1\] already"):
        loaded('models = ["gemma-3-270m(untrained=0)", "gemma-3-270m(untrained=00)"]\ntexts = "news"')
    for written, key in (("untrained=x", "untrained"), ("batch_tokens=0", "batch_tokens")):
        with pytest.raises(StudyError, match=f"{key} must be"):
            loaded(f'models = ["gemma-3-270m({written})"]\ntexts = "news"')
