"""How much faster is extraction than the plain way, and how much memory does it take?

    python -m benchmarks.extraction [--texts FILE] [-n 256] [--plain-n 32] [--rounds 3]

Per model and round, the plain way reads some texts, then isodepth reads `n` texts of the same set,
then the plain way some others: one text costs the plain way the same whatever their number, while
isodepth is timed whole, with tokenizing, self-check and batching. The ratio of a round is the quotient
of tokens per second. Printed: the median and range of the ratios, tokens per second, and the share of
the machine's float32 matrix-product rate (measured in the same rounds) that the blocks' arithmetic
reaches. Memory is the peak of a process of its own that extracts and keeps the result, over the bytes
of its weights.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time

from benchmarks.plain import plain_activations, plain_model
from benchmarks.rates import block_parameters, matrix_rate
from isodepth import extract, load_model, load_texts

MODELS = ("smollm2-135m-instruct", "gemma-3-270m")

MEMORY_CHILD = """
import json, re, sys
from isodepth import extract, load_model, load_texts
model = load_model(sys.argv[1])
texts = load_texts(sys.argv[2], int(sys.argv[3]))
extract(model, texts)
weights = sum(p.numel() * p.element_size() for p in model.body.parameters())
# not ru_maxrss, which a child process takes over from its parent
kilobytes = re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read()).group(1)
print(json.dumps({"weights_bytes": weights, "peak_bytes": 1024 * int(kilobytes)}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", default="wikipedia")
    parser.add_argument("-n", type=int, default=256)
    parser.add_argument("--plain-n", type=int, default=32, help="texts of the plain way, a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory-only", action="store_true", help="leave the timing out")
    parser.add_argument("--memory-n", type=int, default=512)
    arguments = parser.parse_args()
    texts = load_texts(arguments.texts, arguments.n)
    for name in MODELS if not arguments.memory_only else ():
        lm, tokenizer = plain_model(name)
        model = load_model(name)
        lengths = [len(ids) for ids in tokenizer(list(texts.texts))["input_ids"]]
        half = arguments.plain_n // 2

        def plain_seconds(start: int) -> float:
            began = time.perf_counter()
            plain_activations(lm, tokenizer, texts.texts[start : start + half])  # noqa: B023
            return time.perf_counter() - began

        ratios, plain_rates, rates, shares = [], [], [], []
        for round_number in range(arguments.rounds):
            start = round_number * arguments.plain_n % (arguments.n - arguments.plain_n + 1)
            before = plain_seconds(start)
            began = time.perf_counter()
            extract(model, texts)
            rates.append(sum(lengths) / (time.perf_counter() - began))
            seconds = before + plain_seconds(start + half)
            plain_rates.append(sum(lengths[start : start + 2 * half]) / seconds)
            ratios.append(rates[-1] / plain_rates[-1])
            shares.append(2 * block_parameters(model) * rates[-1] / matrix_rate())
        spread = f"{min(ratios):.2f} to {max(ratios):.2f} over {len(ratios)} rounds"
        print(
            f"{name}: {statistics.median(ratios):.2f} times the plain way "
            f"({spread} of {sum(lengths):,} tokens); "
            f"{statistics.median(rates):.0f} against {statistics.median(plain_rates):.0f} tokens/s; "
            f"{statistics.median(shares):.0%} of the matrix-product rate",
            flush=True,
        )
        del lm, model
    for name in MODELS:
        command = [sys.executable, "-c", MEMORY_CHILD, name, arguments.texts, str(arguments.memory_n)]
        used = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        above = (used["peak_bytes"] - used["weights_bytes"]) / 1e6
        print(
            f"{name}: peak {used['peak_bytes'] / 1e6:,.0f} MB with {arguments.memory_n} texts, the "
            f"weights ({used['weights_bytes'] / 1e6:,.0f} MB) plus {above:,.0f} MB",
            flush=True,
        )


if __name__ == "__main__":
    main()
