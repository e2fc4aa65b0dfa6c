"""Compare two models: which of their layers find the same texts similar, and is that a matter of depth?

    python examples/compare_two_models.py                                     # two tiny ones, made here
    python examples/compare_two_models.py smollm2-135m-instruct gemma-3-270m  # real ones, by name
    python examples/compare_two_models.py ./model-a ./model-b my-texts.txt    # yours, on your texts

Without arguments nothing is downloaded: a Llama of 12 blocks and a GPT-2 of 8 with random weights
read 151 sentences. Nobody trained them, so what they share comes from the sentences and from how
decoders work, not from learning. With names, the models and, unless a file is given, the text set
`wikipedia` come from the catalogue (`isodepth models`, `isodepth texts`). Their readings are kept in
the usual store, so that a second run takes seconds.
"""

import random
import sys
import tempfile
from pathlib import Path

import isodepth
from isodepth.figures import affinity_figure, save_figure

PARTS = (
    ("the", "a", "this", "every"),
    ("old", "small", "red", "quiet", "strange", "famous"),
    ("river", "doctor", "engine", "garden", "letter", "city", "bird"),
    ("crosses", "remembers", "follows", "hides", "finds", "forgets"),
    ("the", "a", "another", "no"),
    ("bridge", "song", "winter", "border", "mirror", "road", "story"),
)


def made_up_sentences(n: int) -> list[str]:
    """Return sentences, no two of them the same."""
    drawn = random.Random(7)
    found: dict[str, None] = {}
    while len(found) < n:
        found[" ".join(drawn.choice(words) for words in PARTS)] = None
    return list(found)


def tiny_models() -> tuple[isodepth.Model, isodepth.Model]:
    """Return two models of different architecture and depth, with random weights."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "<end>", *sorted({word for part in PARTS for word in part})]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="<unk>", eos_token="<end>", pad_token="<end>"
    )
    ends = {"vocab_size": len(words), "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": None}
    torch.set_num_threads(1)  # matrices this small only wait for several
    torch.manual_seed(7)
    llama = transformers.LlamaModel(
        transformers.LlamaConfig(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=12,
            num_attention_heads=4,
            max_position_embeddings=32,
            initializer_range=0.15,
            **ends,
        )
    )
    gpt2 = transformers.GPT2Model(
        transformers.GPT2Config(
            n_embd=48, n_layer=8, n_head=4, n_positions=32, initializer_range=0.15, **ends
        )
    )
    return (
        isodepth.as_model(llama.eval(), tokenizer, name="tiny-llama"),
        isodepth.as_model(gpt2.eval(), tokenizer, name="tiny-gpt2"),
    )


def main(arguments: list[str]) -> None:
    """Compare what is named, or two tiny models."""
    out = Path(tempfile.mkdtemp(prefix="isodepth-"))
    if len(arguments) in (2, 3):
        left, right, *texts = arguments
        result = isodepth.compare(
            left, right, texts[0] if texts else "wikipedia", n=None if texts else 256
        )
    elif not arguments:
        left, right = tiny_models()
        texts = isodepth.TextSet.of(made_up_sentences(151), name="made-up sentences")
        result = isodepth.compare(left, right, texts, store=out / "store")
    else:
        sys.exit(f"give two models, and texts if you like; got {len(arguments)} arguments")

    matrix, found = result.affinity, result.assessment
    print(
        f"{matrix.left} ({matrix.values.shape[0]} layers) and {matrix.right} ({matrix.values.shape[1]})"
    )
    print(f"on {matrix.n_texts} texts; chance is a similarity of {matrix.chance:.3f}\n")
    print(result.decision.sentence, "\n")

    print("Which layer corresponds to which, in order of depth, and how similar they are:")
    if result.decision.verdict != "depth-matched":
        print("(There is such a map between any two models; without a ridge it says little.)")
    mapped = found.depth_map.left_to_right
    for layer, (nearest, similarity) in enumerate(
        zip(mapped.nearest, mapped.similarity, strict=True), 1
    ):
        print(f"  {layer:3} -> {nearest:3}   {similarity:.3f}  {'#' * round(40 * similarity)}")
    print(f"Depth in {matrix.right} minus that in {matrix.left}: {found.depth_map.departure.signed}")

    save_figure(affinity_figure(matrix), out / "affinity.png")
    print(f"\nThe matrix as a figure: {out / 'affinity.png'}")


if __name__ == "__main__":
    main(sys.argv[1:])
