"""Does extraction on a GPU give what the CPU gives, and how fast is it there?

    python -m benchmarks.device [--device cuda] [--texts FILE] [-n 512] [--rounds 3] [--cpu-n 64]

Per model: the activations on the device, in float32 and in bfloat16, against those on the CPU in
float32 (the largest relative difference over texts in the worst layer, and the mutual 10-NN of the
worst layer); what the contract measured; tokens per second of a whole extraction against one text at a
time on the same device in the same number format, the whole language model with
``output_hidden_states`` (median and range of the ratios over rounds); and the share of the device's
matrix-product rate in that format, measured in the same rounds. With ``--device cpu`` it runs without a
GPU and shows the cost of bfloat16 there.
"""

import argparse
import statistics
import time

import torch

from benchmarks.plain import plain_activations, plain_model
from benchmarks.rates import block_parameters, finish, matrix_rate
from isodepth import extract, load_model, load_texts, mutual_knn, nearest_neighbors
from isodepth.activations.residual_stream import relative_difference

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--texts", default="wikipedia")
    parser.add_argument("-n", type=int, default=512)
    parser.add_argument("--plain-n", type=int, default=32, help="texts of the plain way, a round")
    parser.add_argument("--cpu-n", type=int, default=64, help="texts that the CPU reads to compare")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--matrix-size", type=int, default=4096)
    arguments = parser.parse_args()
    texts = load_texts(arguments.texts, arguments.n)
    few = texts.sample(arguments.cpu_n)
    device = arguments.device
    for name in MODELS:
        expected = extract(load_model(name, device="cpu"), few).values
        for dtype in ("float32", "bfloat16"):
            model = load_model(name, device=device, dtype=dtype)
            found = extract(model, few)
            difference = relative_difference(found.values, expected).max()
            ids = [nearest_neighbors(values, 10).ids for values in (found.values, expected)]
            overlap = min(mutual_knn(one, other) for one, other in zip(*ids, strict=True))
            contract = found.provenance["contract"]
            print(
                f"{name} {dtype} on {device}: against the CPU in float32, {len(few)} texts: relative "
                f"difference {difference:.1e}, mutual 10-NN at least {overlap:.4f}; contract: "
                f"{contract['batching']}, batched against single "
                f"{contract['batched_against_single']:.1e}, later token "
                f"{contract['later_token_effect']:.1e}",
                flush=True,
            )
            timed(name, model, texts, dtype, arguments)
            del model


def timed(name: str, model: object, texts: object, dtype: str, arguments: argparse.Namespace) -> None:
    device, format_ = arguments.device, getattr(torch, dtype)
    lm, tokenizer = plain_model(name)
    lm = lm.to(device=device, dtype=format_)
    lengths = [len(ids) for ids in tokenizer(list(texts.texts))["input_ids"]]
    plain_activations(lm, tokenizer, texts.texts[:2])  # the first pass pays for what is set up once
    ratios, rates, plain_rates, shares = [], [], [], []
    for _ in range(arguments.rounds):
        finish(device)
        began = time.perf_counter()
        plain_activations(lm, tokenizer, texts.texts[: arguments.plain_n])
        finish(device)
        plain_rates.append(sum(lengths[: arguments.plain_n]) / (time.perf_counter() - began))
        began = time.perf_counter()
        extract(model, texts)
        rates.append(sum(lengths) / (time.perf_counter() - began))
        ratios.append(rates[-1] / plain_rates[-1])
        rate = matrix_rate(device=device, dtype=format_, size=arguments.matrix_size)
        shares.append(2 * block_parameters(model) * rates[-1] / rate)
    print(
        f"{name} {dtype} on {device}: {statistics.median(ratios):.1f} times one text at a time "
        f"({min(ratios):.1f} to {max(ratios):.1f} over {len(ratios)} rounds of {sum(lengths):,} "
        f"tokens); {statistics.median(rates):,.0f} against {statistics.median(plain_rates):,.0f} "
        f"tokens/s; {statistics.median(shares):.1%} of the {dtype} matrix-product rate",
        flush=True,
    )


if __name__ == "__main__":
    main()
