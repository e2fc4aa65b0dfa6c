"""`isodepth models show`: one model described, without loading it."""

from typing import Any

import click

from isodepth.cli.results import megabytes


@click.command(
    "show",
    epilog="""\b
Examples:
  isodepth models show smollm2-135m-instruct
  isodepth models show paper
  isodepth models show ./my-model
  isodepth models show 'owner/name@revision'
""",
)
@click.argument("name")
def show_command(name: str) -> None:
    """Describe a model: source, licence, blocks, configuration, and whether it is here.

    NAME is whatever 'isodepth compare' takes as a model, or a group of the catalogue. Nothing is
    loaded, and nothing of the catalogue is fetched; a hub id is.
    """
    from isodepth.models import MODEL_GROUPS, MODELS, GgufWeights, describe_model, resolve_model

    if name in MODEL_GROUPS:
        _print_group(name)
        return
    entry = MODELS.get(name)
    if entry is not None:
        _print_entry(entry)
        if not isinstance(entry.weights, GgufWeights) and not entry.weights.is_here:
            return
    source = resolve_model(name)
    described = describe_model(source)
    if entry is None:
        click.echo(source.name)
        _print_lines([("kind", _KINDS[source.kind]), ("at", source.location)])
    if source.adapter is not None:
        _print_lines([("adapter", f"{source.adapter.name}, at {source.adapter.location}")])
    _print_lines([("identity", source.digest)])
    if described is None:
        return
    chat = {True: "yes", False: "no", None: "not told by its files"}[described.has_chat_template]
    _print_lines(
        [
            ("class", described.architecture),
            ("blocks", _number(described.n_layers)),
            ("width", _number(described.width)),
            ("context", f"{_number(described.context_length)} tokens"),
            ("vocabulary", f"{_number(described.vocabulary_size)} tokens"),
            ("weights", f"{megabytes(described.size_bytes)}, stored as {described.weights_dtype}"),
            ("chat", f"chat template: {chat}"),
        ]
    )


_KINDS = {
    "gguf": "GGUF file",
    "folder": "transformers folder",
    "hub": "hub model, in the hub's cache",
}


def _print_group(name: str) -> None:
    from isodepth.models import MODEL_GROUPS, MODELS

    members = [MODELS[member] for member in MODEL_GROUPS[name]]
    layers = sum(model.n_layers for model in members)
    click.echo(f"{name}: {len(members)} models, {layers:,} layers")
    width = max(len(model.name) for model in members)
    for model in members:
        tuned = ", instruction-tuned" if model.is_instruction_tuned else ""
        click.echo(f"  {model.name:<{width}}  {model.title}: {model.n_layers} layers{tuned}")


def _print_entry(entry: Any) -> None:
    from isodepth.models.description import standing_of

    click.echo(f"{entry.name}: {entry.title}")
    download = getattr(entry.weights, "download_bytes", None)
    _print_lines(
        [
            ("maker", entry.author),
            ("from", entry.weights.place),
            ("licence", entry.licence),
            ("here", standing_of(entry.weights)),
            *([("download", megabytes(download))] if download is not None else []),
            ("decoder", f"{entry.architecture}, {entry.n_layers} blocks x {entry.width:,} units"),
            ("trained", "to follow instructions" if entry.is_instruction_tuned else "base model"),
        ]
    )
    if entry.notice:
        click.echo(f"  note: {entry.notice}")


def _print_lines(lines: list[tuple[str, object]]) -> None:
    for label, value in lines:
        if value is not None:
            click.echo(f"  {label:<12}{value}")


def _number(value: int | None) -> str:
    return "not stated" if value is None else f"{value:,}"
