"""How a model is loaded: what changes its activations, and where it runs."""

from dataclasses import dataclass

from isodepth.errors import ParameterError, listed

DTYPES = ("float32", "bfloat16", "float16")
QUANTIZATIONS = ("8bit", "4bit")
DEVICE_MAPS = ("auto",)
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


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
    """

    dtype: str = "float32"
    quantization: str | None = None
    attention: str | None = None
    device: str | None = None
    device_map: str | None = None
    trust_remote_code: bool = False

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

    @property
    def differences(self) -> tuple[str, ...]:
        """What changes activations beyond the last digits, in words: ("bfloat16", "4bit")."""
        said = [self.dtype] if self.dtype != "float32" else []
        said += [self.quantization] if self.quantization else []
        return (*said, *([f"{self.attention} attention"] if self.attention else []))
