"""Whether a model has a chat template, told from its files as its tokenizer tells it when loaded."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import tiny_models
from isodepth.models import has_chat_template, load_tokenizer, resolve_model
from isodepth.models.offline import OFFLINE_MODELS

Copied = Callable[[Path], Path]


def in_jinja_file(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text(tiny_models.CHAT_TEMPLATE)


def in_tokenizer_settings(folder: Path) -> None:
    settings = folder / "tokenizer_config.json"
    tiny_models.edited_json(settings, chat_template=tiny_models.CHAT_TEMPLATE)


def in_old_tokenizer_settings(folder: Path) -> None:
    named = [{"name": "default", "template": tiny_models.CHAT_TEMPLATE}]
    tiny_models.edited_json(folder / "tokenizer_config.json", chat_template=named)


def in_additional_folder(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "default.jinja").write_text(tiny_models.CHAT_TEMPLATE)


def nowhere(folder: Path) -> None:
    pass


def null_in_tokenizer_settings(folder: Path) -> None:
    tiny_models.edited_json(folder / "tokenizer_config.json", chat_template=None)


def in_a_processors_file(folder: Path) -> None:
    # transformers gives it to processors (of images, say) and not to tokenizers
    content = json.dumps({"chat_template": tiny_models.CHAT_TEMPLATE})
    (folder / "chat_template.json").write_text(content)


def in_an_empty_additional_folder(folder: Path) -> None:
    (folder / "additional_chat_templates").mkdir()


@pytest.mark.parametrize(
    ("put", "expected"),
    [
        (in_jinja_file, True),
        (in_tokenizer_settings, True),
        (in_old_tokenizer_settings, True),
        (in_additional_folder, True),
        (nowhere, False),
        (null_in_tokenizer_settings, False),
        (in_a_processors_file, False),
        (in_an_empty_additional_folder, False),
    ],
)
def test_the_answer_is_that_of_the_loaded_tokenizer(
    put: Callable[[Path], None], expected: bool, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    put(folder)
    assert bool(load_tokenizer(folder).chat_template) is expected
    assert has_chat_template(resolve_model(folder)) is expected


def test_a_tokenizer_that_was_saved_with_its_template_has_one(chat_folder: Path) -> None:
    assert has_chat_template(resolve_model(chat_folder)) is True


@pytest.mark.parametrize("content", [None, "{not json", b"\xff\xfe"])
def test_settings_that_cannot_be_read_give_no_answer(
    content: str | bytes | None, llama_folder: Path, copied: Copied
) -> None:
    folder = copied(llama_folder)
    source = resolve_model(folder)
    settings = folder / "tokenizer_config.json"
    settings.unlink()
    if content is not None:
        settings.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert has_chat_template(source) is None


@pytest.mark.parametrize("name", list(OFFLINE_MODELS))
def test_of_a_model_that_is_not_here_it_is_unknown(name: str) -> None:
    assert has_chat_template(resolve_model(name)) is None


def test_of_a_folder_that_went_away_it_is_unknown(llama_folder: Path, copied: Copied) -> None:
    folder = copied(llama_folder)
    source = resolve_model(folder)
    shutil.rmtree(folder)
    assert has_chat_template(source) is None


@pytest.mark.parametrize("template", [None, "{{ messages[0].content }} assistant"])
def test_of_a_gguf_file_it_is_known_once_converted(template: str | None, tmp_path: Path) -> None:
    source = resolve_model(tiny_models.written_gguf(tmp_path / "tiny.gguf", chat_template=template))
    assert has_chat_template(source) is None
    tokenizer = load_tokenizer(tmp_path / "tiny.gguf")
    assert tokenizer.chat_template == template
    assert has_chat_template(source) is (template is not None)
