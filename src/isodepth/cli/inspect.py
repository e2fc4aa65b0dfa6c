"""`isodepth inspect`: what exactly is read of a model, and does the contract hold?"""

import json
from typing import Any

import click

from isodepth.cli.options import loading_options, reading_options, sampling_options, text_options

N_TEXTS = 512


@click.command(
    "inspect",
    epilog="""\b
Examples:
  isodepth inspect smollm2-135m-instruct --texts wikipedia
  isodepth inspect ./my-model --texts reviews.csv --column review --dtype bfloat16
  isodepth inspect 'gemma-3-270m(dtype=bfloat16)' --texts news --json
""",
)
@click.argument("model")
@click.option("--texts", required=True, help="Text set, as 'isodepth compare' takes it.")
@text_options
@click.option("--chat", is_flag=True, help="Wrap texts as a user's turn in the chat template.")
@reading_options
@loading_options
@sampling_options(n=f"{N_TEXTS}, or all where there are fewer")
@click.option(
    "--probes",
    type=click.IntRange(min=2),
    default=32,
    show_default=True,
    help="How many of the texts to measure on.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def inspect_command(
    model: str,
    texts: str,
    *,
    n: int | None,
    chat: bool,
    capture: str,
    pooling: str,
    max_tokens: int | None,
    probes: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Load MODEL, read some texts with it, and show what exactly is read and how well that holds.

    The same is measured at the start of every extraction and kept in its manifest. Ends with an error
    where activations would not be what they are said to be.
    """
    from isodepth.cli.options import loading_of
    from isodepth.cli.progress import ProgressDisplay
    from isodepth.inspection import inspect_model
    from isodepth.texts import load_texts

    loading = loading_of(options)
    with ProgressDisplay() as progress:
        read = load_texts(texts, n=n or N_TEXTS, allow_fewer=n is None, progress=progress, **options)
        found = inspect_model(
            model,
            read,
            capture=capture,
            pooling=pooling,
            max_tokens=max_tokens,
            chat=chat,
            n_probes=probes,
            loading=loading,
            progress=progress,
        )
    if as_json:
        click.echo(json.dumps(found.as_dict(), indent=1, ensure_ascii=False))
        return
    click.echo(f"{found.model.name} on {len(found.texts):,} texts of {found.texts.name}")
    for label, value in _lines(found):
        click.echo(f"  {label:<14}{value}")


def _lines(found: Any) -> list[tuple[str, str]]:
    model, contract, encoded = found.model, found.contract, found.encoded
    said = model.provenance
    lines = [
        (
            "blocks",
            f"{model.n_layers} x {model.width:,} units, {said['architecture']} (at "
            f"{said['blocks_at']}), {said['parameters']:,} parameters without head",
        )
    ]
    if model.skipped_blocks:
        blocks = ", ".join(str(block + 1) for block in model.skipped_blocks)
        lines.append(("", f"text does not pass through block {blocks}; it leaves them unchanged"))
    lines += [
        ("final norm", contract.final_norm or "none: the model returns the last block's output"),
        ("states", _hidden_states(contract)),
        ("direction", _direction(contract)),
        ("arithmetic", _arithmetic(said)),
        ("front tokens", _front(encoded)),
        ("end tokens", _end(encoded)),
        (
            "last tokens",
            f"{len({int(ids[-1]) for ids in encoded.ids}):,} different; {encoded.last_token!r} ends "
            f"{encoded.last_token_share:.0%} of the texts",
        ),
        ("truncation", _truncation(encoded)),
        ("batching", _batching(contract, found.neighbors)),
        *_outliers(contract.outliers),
    ]
    return lines


def _hidden_states(contract: Any) -> str:
    from isodepth.activations.residual_stream import TOLERANCE

    difference = contract.hooks_against_hidden_states
    if difference is None:
        return "no output_hidden_states entry for every block, so not compared"
    found = "are the block outputs" if difference <= TOLERANCE else "are other than the block outputs"
    return f"{found} ({difference:.1e}); the last is {contract.last_hidden_state}"


def _direction(contract: Any) -> str:
    if not contract.is_causal:
        return "tokens see later ones: an encoder, to be read with pooling mean"
    return f"causal: a later token changes earlier activations by {contract.later_token_effect:.1e}"


def _arithmetic(said: Any) -> str:
    quantized = f", {said['quantization']} weights" if said.get("quantization") else ""
    attention = said.get("attention") or "no"
    offloaded = ", partly offloaded" if said.get("offloaded") else ""
    return f"{said['dtype']}{quantized} on {said['device']}{offloaded}, {attention} attention"


def _front(encoded: Any) -> str:
    if encoded.chat is not None:
        return f"{encoded.n_in_front:,} of the chat template"
    return f"{' '.join(encoded.prefix)} (kept)" if encoded.prefix else "none"


def _end(encoded: Any) -> str:
    if encoded.chat is not None:
        return f"{' '.join(encoded.chat['tokens_behind_the_text'])!r} of the chat template (kept)"
    if not encoded.suffix:
        return "none"
    fate = "kept, as the model was trained" if encoded.keeps_suffix else "removed: they tell nothing"
    return f"{' '.join(encoded.suffix)} ({fate})"


def _truncation(encoded: Any) -> str:
    longest = int(encoded.lengths.max())
    if encoded.limit is None:
        return f"no limit; the longest text has {longest:,} tokens"
    return (
        f"after {encoded.limit:,} tokens: {len(encoded.truncated):,} of {encoded.n_texts:,} texts are "
        f"cut; the longest read has {longest:,}"
    )


def _batching(contract: Any, neighbors: Any) -> str:
    told = (
        f"{contract.batching}; batched against one at a time {contract.batched_against_single:.1e} "
        f"(allowed {contract.tolerance:.0e})"
    )
    if neighbors is not None:
        told += f", {neighbors.lowest_overlap:.1%} of {neighbors.k} neighbors the same"
    return told


def _outliers(found: Any) -> list[tuple[str, str]]:
    return [
        (
            "units",
            f"unit {found.unit:,} holds {found.unit_share:.0%} of the squared norm in layer "
            f"{found.unit_layer} (median text)",
        ),
        (
            "tokens",
            f"{found.token!r} at place {found.token_place:,} has {found.token_norm_ratio:,.0f} times "
            f"the median norm of its text in layer {found.token_layer}",
        ),
        (
            "texts",
            f"the largest vector has {found.text_norm_ratio:.1f} times the median norm, in layer "
            f"{found.text_layer}",
        ),
    ]
