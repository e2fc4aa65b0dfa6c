"""Does extraction on a GPU give what the CPU gives, and how fast is it there?

    python -m benchmarks.device [--device cuda] [-n 2048] [--rounds 3] [--only billion]

Writes `device.md` and `device.json` to benchmarks/results, or to --out.

"billion": a model of a billion parameters with random weights, in bfloat16, on texts of realistic
lengths: the whole extraction against one text at a time on the same device in the same number format,
and against the device's matrix-product rate, measured in the same rounds. It needs no download.

"models", per model of the catalogue: the activations on the device, in float32 and in bfloat16, against
those on the CPU in float32 (the largest relative difference over texts in the worst layer, and the
mutual 10-NN of the worst layer); what the contract measured; and the same timings. With ``--device cpu
--tiny`` it shows without a GPU that it runs.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch

from benchmarks.harness import Case, as_json, markdown_table, this_machine, timed
from benchmarks.plain import plain_activations, plain_model
from benchmarks.random_model import BILLION, TINY, random_model, random_texts
from benchmarks.rates import block_operations, block_parameters, finish, matrix_rate
from isodepth import extract, load_model, load_texts, mutual_knn, nearest_neighbors
from isodepth.activations.extraction import prepare_extraction
from isodepth.activations.residual_stream import relative_difference
from isodepth.activations.result import ExtractionOptions
from isodepth.models.model import Model
from isodepth.texts import TextSet

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("-n", type=int, default=2048)
    parser.add_argument("--plain-n", type=int, default=32, help="texts of the plain way, a round")
    parser.add_argument("--cpu-n", type=int, default=64, help="texts that the CPU reads to compare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--matrix-size", type=int, default=8192)
    parser.add_argument("--only", choices=("billion", "models"))
    parser.add_argument("--tiny", action="store_true", help="a tiny model in place of the large one")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    machine = {**this_machine(), "device": device_name(arguments.device)}
    head = f"{machine['device']}, beside {machine['processor']}"
    found: list[Case] = []
    for only, cases in (("billion", billion_cases), ("models", model_cases)):
        if arguments.only in (None, only):
            found += cases(arguments)
            table = f"{head}\n\n{markdown_table(found)}"
            (arguments.out / "device.md").write_text(table)
            (arguments.out / "device.json").write_text(as_json(found, machine))
            print(table, flush=True)


def device_name(device: str) -> str:
    """Return what the maker calls a GPU; of other devices, their kind."""
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else device


def billion_cases(arguments: argparse.Namespace) -> Iterator[Case]:
    sizes = TINY if arguments.tiny else BILLION
    plain_body, tokenizer, model = random_model(sizes, device=arguments.device, dtype=torch.bfloat16)
    texts = load_texts(random_texts(arguments.n))
    size = f"{block_parameters(model) / 1e6:,.0f} million weights in its blocks"
    yield from timings(
        f"random model, {size}, bfloat16", plain_body, tokenizer, model, texts, arguments
    )


def model_cases(arguments: argparse.Namespace) -> Iterator[Case]:
    texts = load_texts("wikipedia", arguments.n)
    few = texts.sample(arguments.cpu_n)
    for name in MODELS:
        expected = extract(load_model(name, device="cpu"), few).values
        for dtype in ("float32", "bfloat16"):
            model = load_model(name, device=arguments.device, dtype=dtype)
            found = extract(model, few)
            difference = relative_difference(found.values, expected).max()
            ids = [nearest_neighbors(values, 10).ids for values in (found.values, expected)]
            overlap = min(mutual_knn(one, other) for one, other in zip(*ids, strict=True))
            contract = found.provenance["contract"]
            print(
                f"{name} {dtype} on {arguments.device}: against the CPU in float32, {len(few)} texts: "
                f"relative difference {difference:.1e}, mutual 10-NN at least {overlap:.4f}; contract: "
                f"{contract['batching']}, batched against single "
                f"{contract['batched_against_single']:.1e}, later token "
                f"{contract['later_token_effect']:.1e}",
                flush=True,
            )
            plain_body, tokenizer = plain_model(name)
            plain_body = plain_body.to(device=arguments.device, dtype=getattr(torch, dtype))
            yield from timings(f"{name} {dtype}", plain_body, tokenizer, model, texts, arguments)


def timings(
    what: str,
    plain_body: torch.nn.Module,
    tokenizer: object,
    model: Model,
    texts: TextSet,
    arguments: argparse.Namespace,
) -> Iterator[Case]:
    """Yield the extraction against the matrix-product rate, and against one text at a time."""
    device, dtype = arguments.device, next(plain_body.parameters()).dtype
    (extraction,) = prepare_extraction(model, texts, ExtractionOptions())
    lengths = extraction.encoded.lengths
    total = int(lengths.sum())
    arithmetic = block_operations(model, lengths)
    plain(plain_body, tokenizer, texts.texts[:2], device)  # the first pass pays for what is set up once
    whole, reading, takes, at_rate = [], [], [], []
    for number in range(arguments.rounds):
        start = number * arguments.plain_n % max(1, len(texts) - arguments.plain_n)
        sample = slice(start, start + arguments.plain_n)
        seconds = timed(partial(plain, plain_body, tokenizer, texts.texts[sample], device))
        takes.append(seconds * len(texts) / len(texts.texts[sample]))
        whole.append(timed(partial(extract, model, texts)))
        reading.append(timed(lambda: [None for _ in extraction.batches()]))
        rate = matrix_rate(device=device, dtype=dtype, size=arguments.matrix_size)
        at_rate.append(arithmetic / rate)
    on_cuda = device.startswith("cuda")
    peak = torch.cuda.max_memory_allocated(device) if on_cuda else None
    size = f"{what} on {device}, {len(texts):,} texts, {total:,} tokens"
    yield Case(
        group="extraction",
        what=f"{size}: whole, {len(texts) / sorted(whole)[len(whole) // 2]:,.0f} texts/s",
        seconds=whole,
        baseline="one text at a time",
        baseline_seconds=takes,
        is_computed=True,
    )
    yield Case(
        group="extraction",
        what=f"{size}: reading the batches",
        seconds=reading,
        peak_bytes=peak,
        limit=f"{dtype} matrix products".removeprefix("torch."),
        limit_seconds=at_rate,
        target="at least half of it",
    )


def plain(body: torch.nn.Module, tokenizer: object, texts: Sequence[str], device: str) -> None:
    plain_activations(body, tokenizer, texts)
    finish(device)


if __name__ == "__main__":
    main()
