"""How a model is loaded: what changes its activations, and where it runs."""

from dataclasses import dataclass

from isodepth.errors import ParameterError, listed, whole_number

DTYPES = ("float32", "bfloat16", "float16")
QUANTIZATIONS = ("8bit", "4bit")
DEVICE_MAPS = ("auto",)
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadingOptions:
    """How a model is loaded.

    Parameters
    ----------
    dtype : {"float32", "bfloat16", "float16"}
        Number format of weights and arithmetic; weights stored in another one are converted.
    quantization : {"8bit", "4bit"}, optional
        Quantize the linear layers through bitsandbytes: LLM.int8() or NF4.
    attention : str, optional
        Attention implementation, by the names that transformers gives them; its own choice where it is
        left out.
    device : str, optional
        "cpu", "cuda", "cuda:1", "mps"; the first CUDA device where there is one, else the CPU, where it
        is left out.
    device_map : {"auto"}, optional
        Spread the weights over all devices, for models larger than one card.
    trust_remote_code : bool
        Run Python code that comes with the model. Only for makers that you trust.
    untrained : int, optional
        A seed, from 0: a copy that was never trained, with weights drawn anew as the architecture's
        makers draw them; the tokenizer is the model's.
    batch_tokens : int, optional
        The most tokens of a batch, padding included, at least 1; a longer text is a batch of its own.
        What suits the device where it is left out. Changes activations by rounding only, in models that
        keep the contract; which is what a noise ceiling asks for.
    """

    dtype: str = "float32"
    quantization: str | None = None
    attention: str | None = None
    device: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False
    untrained: int | None = None
    batch_tokens: int | None = None

    def __post_init__(self) -> None:
        for what, value, known in (
            ("dtype", self.dtype, DTYPES),
            ("quantization", self.quantization, (None, *QUANTIZATIONS)),
            ("attention", self.attention, (None, *ATTENTIONS)),
            ("device_map", self.device_map, (None, *DEVICE_MAPS)),
        ):
            if value not in known:
                raise ParameterError(f"{what} must be one of {listed(known)}; got {value!r}")
        kind, _, number = (self.device or "cpu").partition(":")
        if kind not in ("cpu", "cuda", "mps") or not (number == "" or number.isdecimal()):
            raise ParameterError(f"device must be cpu, cuda, cuda:NUMBER or mps; got {self.device!r}")
        if self.device is not None and self.device_map is not None:
            raise ParameterError(
                f"device and device_map exclude each other; got {self.device!r} and "
                f"{self.device_map!r}",
                hint="a device map chooses the devices itself.",
            )
        if self.untrained is not None:
            seed = whole_number(self.untrained, "untrained")
            if not 0 <= seed <= LARGEST_SEED:
                raise ParameterError(f"untrained must be a seed from 0 to {LARGEST_SEED}; got {seed}")
            object.__setattr__(self, "untrained", seed)
        if self.batch_tokens is not None:
            tokens = whole_number(self.batch_tokens, "batch_tokens")
            if tokens < 1:
                raise ParameterError(f"batch_tokens must be at least 1; got {tokens}")
            object.__setattr__(self, "batch_tokens", tokens)

    @property
    def differences(self) -> tuple[str, ...]:
        """What a model's identity and name say of this, in words: ("bfloat16", "untrained, seed 0")."""
        said = [self.dtype] if self.dtype != "float32" else []
        said += [self.quantization] if self.quantization else []
        said += [f"{self.attention} attention"] if self.attention else []
        said += [f"untrained, seed {self.untrained}"] if self.untrained is not None else []
        if self.batch_tokens is not None:
            said.append(f"batches of {self.batch_tokens} token{'s' * (self.batch_tokens > 1)}")
        return tuple(said)

    @property
    def identity(self) -> tuple[str, ...]:
        """What a model's digest says of this: `differences`, and what drew weights at random."""
        if self.untrained is None:
            return self.differences
        import importlib.metadata  # takes a sixth of what the command line's help does

        # what a seed draws changes with what draws it, but not with how that was built ("+cpu")
        releases = [
            f"{name} {importlib.metadata.version(name).split('+')[0]}"
            for name in ("transformers", "torch")
        ]
        return (*self.differences, f"drawn by {', '.join(releases)}")

    def refuse_adapter(self, adapter: object | None, *, name: str) -> None:
        """Raise `ParameterError` if there is an adapter that cannot be put on what is so loaded."""
        if adapter is not None and self.untrained is not None:
            raise ParameterError(
                f"{name}: an untrained copy takes no adapter, which means something on the weights "
                "that it was trained on only",
                hint="leave out the adapter, or untrained.",
            )
