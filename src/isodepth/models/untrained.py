"""What do architecture and tokenization alone give? A copy of a model that was never trained.

The copy has the model's configuration and tokenizer, and weights drawn by the rule that the
architecture's makers gave transformers, so that what it shows owes nothing to training. The same seed
draws the same weights on every run of the same releases, whatever the process has drawn before.

>>> load_model("gemma-3-270m", untrained=0).name                                  # doctest: +SKIP
'gemma-3-270m (untrained, seed 0)'

The rule is read from the configuration (its `initializer_range`, mostly) and is that of transformers,
which need not be the one that the model's training began with. A GGUF file does not state it: then the
architecture's default holds.

Memory: the weights in float32, and while loading once more in their number format.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from isodepth.models.transformers_calls import made_headless


def untrained_model(folder: Path, *, seed: int, settings: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return a model with weights drawn at random, and transformers' account of loading them.

    No weights are read. They are drawn on the CPU in float32 and then loaded as weights of a file are,
    so another number format, quantization or device has the same weights, rounded.

    Parameters
    ----------
    folder : Path
        Where the model's configuration is.
    seed : int
        Fixes the weights; torch's generator is left as it was.
    settings : mapping
        How to load it, in the words of `from_pretrained`, with ``output_loading_info``.

    Raises
    ------
    Exception
        Whatever transformers raises where it cannot make such a model.
    """
    own_code = {"trust_remote_code": settings["trust_remote_code"]}
    config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, **own_code)
    if hasattr(config, "quantization_config"):  # how the weights are stored that are not read
        del config.quantization_config
    # the generator of the CPU alone: torch.manual_seed would change those of other devices too
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        with torch.device("cpu"):
            drawn = made_headless(
                lambda kind: kind.from_config(config, dtype=torch.float32, **own_code)
            )
        return type(drawn).from_pretrained(  # type: ignore[no-any-return]
            None, config=drawn.config, state_dict=drawn.state_dict(), **settings
        )
