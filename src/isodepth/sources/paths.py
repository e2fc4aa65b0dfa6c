"""Does a name that a user gave mean something on this machine?"""

from pathlib import Path


def existing_path(name_or_path: str | Path) -> Path | None:
    """Return the path if there is a file or folder; a name too long or odd for a path is none."""
    try:
        path = Path(name_or_path).expanduser()
        return path if path.exists() else None
    except (OSError, ValueError, RuntimeError):
        return None
