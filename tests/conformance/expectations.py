"""What is expected of each architecture, told by hand: where its blocks are, what it gives besides.

Whatever an architecture is not named for here is as usual: blocks in a list called "layers",
``hidden_states`` that begin with the embedding and end after a final norm, and blocks that add what
attention and MLP return to what they were given.
"""

from tiny_architectures import ARCHITECTURES

REFUSED = {name for name, one in ARCHITECTURES.items() if one.streams > 1}
"""Blocks that pass several streams on have no one activation at their end."""
READ = [name for name in ARCHITECTURES if name not in REFUSED]
ENCODERS = [name for name in READ if "encoder" in ARCHITECTURES[name].kinds]
DECODERS = [name for name in READ if name not in ENCODERS]
HALF_PRECISION = [name for name in READ if ARCHITECTURES[name].runs_in_bfloat16]

_PLACES = {
    "h": "gptj codegen falcon-7b falcon-40b falcon-alibi gpt2 gpt_bigcode bloom gpt_neo",
    "blocks": "mpt dbrx rwkv xlstm",
    "decoder.layers": "opt opt-350m",
    "language_model.layers": "gemma3 mllama",
    "encoder.layer": "bert roberta xlm-roberta electra mpnet deberta-v2",
    "transformer.layer": "distilbert",
}
BLOCKS_AT = dict.fromkeys(ARCHITECTURES, "layers") | {
    name: place for place, names in _PLACES.items() for name in names.split()
}
"""Where the blocks are, in the model as transformers makes it."""

SHIFTED = {"mamba", "falcon_mamba", "mamba2", "rwkv"}
"""The first entry of ``hidden_states`` is the first block's output; there is none for the embedding."""
RESCALED_EVERY = {"rwkv": 2}
"""What every so-manieth block gives is halved before ``hidden_states`` and the next block get it."""
NO_FINAL_NORM = set(ENCODERS) - {"modernbert"}
"""The body returns what the last block returns, which ends in a norm itself."""
NARROWER = {"opt-350m": 17}
"""What the body returns has fewer units than the blocks: a final linear layer sees to that."""

FIRST_POSITIONS_KEPT_FREE = {"roberta": 1, "xlm-roberta": 1, "mpnet": 2}
"""Positions, of those that the configuration states, that no token gets (here, where padding is token
0). The tokenizers of published models know it (``model_max_length``), those of the suite do not."""

NOT_ALONE = "consists of"
PASSED_OVER = "text does not pass through block"
NOT_ADDED = "is not what it adds to the residual stream"
_NO_ATTENTION = {
    # Mamba and attention side by side; an MLP or experts alone; a whole transformer besides a Mamba
    NOT_ALONE: "falcon_h1 nemotron_h zamba zamba2 bert roberta xlm-roberta electra mpnet deberta-v2",
    PASSED_OVER: "mllama mllama-text",
    # residuals added inside the part, scaled, or normalized on their way on
    NOT_ADDED: "bloom mpt dbrx rwkv opt-350m minimax gemma4-text distilbert",
}
_NO_MLP = {
    NOT_ALONE: "mamba falcon_mamba mamba2 nemotron_h zamba zamba2 gemma4-text bert roberta xlm-roberta "
    "electra mpnet deberta-v2",
    PASSED_OVER: "mllama mllama-text",
    NOT_ADDED: "bloom mpt dbrx rwkv opt-350m minimax falcon_h1 distilbert",
}
NO_PART: dict[str, dict[str, str]] = {
    part: {name: why for why, names in reasons.items() for name in names.split()}
    for part, reasons in (("attention", _NO_ATTENTION), ("mlp", _NO_MLP))
}
"""For each part, the architectures that it cannot be captured of, and what they are told."""

WITH_PARTS = [name for name in READ if name not in NO_PART["attention"]]
_AFTER_A_NORM = "gemma2 gemma3 gemma3-text glm4 olmo2 olmo3 olmo_hybrid exaone4"
_SCALED = "granite granitemoe"
CHANGED_ON_THE_WAY = {*_AFTER_A_NORM.split(), *_SCALED.split()}
"""Architectures whose blocks add what the parts return after a norm, or scaled."""
