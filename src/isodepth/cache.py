"""Where is kept what can be fetched or made again? In the user's cache, outside any checkout."""

import os
from pathlib import Path

import platformdirs


def cache_directory() -> Path:
    """Return the folder for downloads, converted models and copies of remote stores; it may not exist.

    ``$ISODEPTH_CACHE`` where that is set, else the platform's cache folder for "isodepth"
    (``~/.cache/isodepth`` on Linux).
    """
    chosen = os.environ.get("ISODEPTH_CACHE")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("isodepth"))
