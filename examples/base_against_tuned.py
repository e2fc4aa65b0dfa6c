"""Compare a base model with its fine-tuned copy: from which layer on did tuning change what is near?

    python examples/base_against_tuned.py                              # a tiny model and a trained copy
    python examples/base_against_tuned.py ./base ./tuned my-texts.txt  # folders, hub ids or adapters

Without arguments a Llama of 9 blocks learns sentences for a second; then a copy of it, of which
only the last three blocks and the head may change, learns to answer questions. Both read 151
sentences and 151 questions. Layers 1 to 6 are the same in both, and their texts have the same
neighbors; from layer 7 on they diverge, and how far depends on what is read: the paper's figure 8
in small.
"""

import copy
import random
import sys
import tempfile
from pathlib import Path

import numpy as np

import isodepth
from isodepth.figures import save_figure, text_sets_figure

NOUNS = ("river", "doctor", "engine", "garden", "letter", "city", "bird", "song", "winter", "mirror")
VERBS = ("crosses", "remembers", "follows", "hides", "finds", "forgets")
ADJECTIVES = ("old", "small", "red", "quiet", "strange", "famous")
FROZEN = 6


def made_up_texts(n: int, *, questions: bool) -> list[str]:
    """Return sentences, or questions about them, no two of them the same."""
    drawn = random.Random(11)
    found: dict[str, None] = {}
    while len(found) < n:
        adjective, verb = drawn.choice(ADJECTIVES), drawn.choice(VERBS)
        subject, object_ = drawn.sample(NOUNS, 2)
        said = f"the {adjective} {subject} {verb} the {drawn.choice(ADJECTIVES)} {object_}"
        found[f"if {said} then what {verb} it ?" if questions else said] = None
    return list(found)


def answered(question: str) -> str:
    """Return a question with its answer: the subject."""
    return f"{question} {question.split()[3]}"


def base_and_tuned() -> tuple[isodepth.Model, isodepth.Model]:
    """Return a tiny model and a copy whose last blocks learned something else."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["<unk>", "the", "if", "then", "what", "it", "?", *NOUNS, *VERBS, *ADJECTIVES]
    backend = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    torch.set_num_threads(1)  # matrices this small only wait for several
    torch.manual_seed(11)
    base = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=len(words),
            hidden_size=48,
            intermediate_size=96,
            num_hidden_layers=9,
            num_attention_heads=2,
            max_position_embeddings=32,
            initializer_range=0.1,
            bos_token_id=None,
            eos_token_id=None,
        )
    )

    def learn(model: torch.nn.Module, texts: list[str], steps: int) -> None:
        ids = torch.tensor([tokenizer(text)["input_ids"] for text in texts])
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=3e-3)
        for _ in range(steps):
            batch = ids[torch.randint(len(ids), (24,))]
            model(input_ids=batch, labels=batch).loss.backward()
            optimizer.step()
            optimizer.zero_grad()

    learn(base, made_up_texts(500, questions=False), steps=20)
    tuned = copy.deepcopy(base)
    for part in (tuned.model.embed_tokens, *tuned.model.layers[:FROZEN]):
        part.requires_grad_(False)
    learn(tuned, [answered(text) for text in made_up_texts(500, questions=True)], steps=20)
    return (
        isodepth.as_model(base.eval(), tokenizer, name="base"),
        isodepth.as_model(tuned.eval(), tokenizer, name="tuned"),
    )


def main(arguments: list[str]) -> None:
    """Compare what is named, or the tiny pair on both kinds of texts."""
    out = Path(tempfile.mkdtemp(prefix="isodepth-"))
    if len(arguments) == 3:
        base, tuned, texts = arguments
        results = {texts: isodepth.compare(base, tuned, texts)}
    elif not arguments:
        base, tuned = base_and_tuned()
        results = {}
        for name, are_questions in (("sentences", False), ("questions", True)):
            texts = isodepth.TextSet.of(made_up_texts(151, questions=are_questions), name=name)
            results[name] = isodepth.compare(base, tuned, texts, store=out / "store")
    else:
        sys.exit(f"give base, tuned model and texts, or nothing; got {len(arguments)} arguments")

    for name, result in results.items():
        values = result.affinity.values
        if len(set(values.shape)) > 1:
            sys.exit(f"base and tuned have {values.shape} layers: a copy has as many")
        same = np.diagonal(values)
        print(f"{name}: layer by layer, similarity of both (chance {result.affinity.chance:.3f})")
        for layer, similarity in enumerate(same, 1):
            print(f"  {layer:3}   {similarity:.3f}  {'#' * round(40 * similarity)}")
        changed = np.flatnonzero(same < 1)
        first = f"layer {changed[0] + 1}" if changed.size else "none"
        print(f"The first layer in which some text has another neighbor: {first}.")
        print(f"{result.decision.sentence}\n")
    picture = out / "base-against-tuned.png"
    save_figure(text_sets_figure([one.affinity for one in results.values()], highest=1.0), picture)
    print(f"The matrices as a figure, on one scale: {picture}")


if __name__ == "__main__":
    main(sys.argv[1:])
