"""How does a reader know that a stored file is what was written?

Every artifact has a manifest that names its data files with their sha256, and that carries a checksum
of its own content, its seal. A byte that changes anywhere makes one of the two wrong.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from isodepth.errors import IsodepthWarning
from isodepth.store.sums import sha256_of

MANIFEST = "manifest.json"


class DamagedArtifactWarning(IsodepthWarning):
    """A stored file was not what its manifest says; it was set aside and counts as absent."""


def content_key(parts: Mapping[str, Any]) -> str:
    """Return the key of a mapping of JSON values: 32 hexadecimal digits of its sha256."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def sealed(content: Mapping[str, Any], *, indent: int | None = 1) -> str:
    """Return JSON text with a checksum of its own content; on one line where `indent` is None."""
    content = json.loads(json.dumps(content, allow_nan=False))  # as it will be read
    return json.dumps({**content, "seal": content_key(content)}, indent=indent, allow_nan=False)


def unsealed(text: str) -> dict[str, Any]:
    """Return the content of sealed JSON text.

    Raises
    ------
    ValueError
        If it was changed, or is no sealed JSON text.
    """
    content: dict[str, Any] = json.loads(text)
    if not isinstance(content, dict) or "seal" not in content:
        raise ValueError("it has no seal")
    seal = content.pop("seal")
    if seal != content_key(content):
        raise ValueError("its content does not fit its seal")
    return content


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the sealed manifest of a folder, with the sums and sizes of the files that are in it."""
    files = {
        path.name: {"sha256": sha256_of(path), "size_bytes": path.stat().st_size}
        for path in sorted(folder.iterdir())
    }
    (folder / MANIFEST).write_text(sealed({**manifest, "files": files}), encoding="utf-8")


def listed_sums(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of every data file that an unsealed manifest names.

    Raises
    ------
    ValueError
        If it names none in the form that `write_manifest` has, or a name is more than a file's name.
    """
    try:
        sums = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"it lists no sums ({error!r})") from error
    for name in sums:
        if not name or name != Path(name).name or name.startswith("."):
            raise ValueError(f"it names a file {name!r}")
    return sums


def damage(folder: Path, *, sum_of: Callable[[Path], str] = sha256_of) -> str | None:
    """Return what is wrong with an artifact, naming the first damaged file, or None; see `damages`."""
    return next(iter(damages(folder, sum_of=sum_of)), None)


def damages(folder: Path, *, sum_of: Callable[[Path], str] = sha256_of) -> list[str]:
    """Return what is wrong with each damaged file of an artifact, naming it; empty without damage.

    Parameters
    ----------
    folder : Path
        The artifact.
    sum_of : callable
        Returns the sha256 of a data file: computed from all its bytes, or remembered.
    """
    manifest_path = folder / MANIFEST
    try:
        sums = listed_sums(unsealed(manifest_path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError) as error:
        return [f"{manifest_path} cannot be read ({error})"]
    found = []
    for name, expected in sums.items():
        path = folder / name
        if not path.is_file():
            found.append(f"{path} is missing")
        elif (actual := sum_of(path)) != expected:
            found.append(f"{path} has sha256 {actual}, its manifest says {expected}")
    return found
