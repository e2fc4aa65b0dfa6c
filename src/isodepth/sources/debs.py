"""Texts inside Debian packages: fetched with the user's own apt, verified, read as archives.

Nothing is installed and none of the package's scripts run.

>>> pin = DebPin("debian-handbook", "11.20220922", "3d5d...", size_bytes=34_758_056)
>>> fetch_file(pin)                                                           # doctest: +SKIP
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from isodepth.errors import DownloadError
from isodepth.progress import Progress
from isodepth.sources.downloads import Pin, last_errors, run_download


@dataclass(frozen=True, slots=True)
class DebPin(Pin):
    """One Debian package file, exactly. The parameters are those of `Pin`."""

    SUFFIX: ClassVar[str] = ".deb"

    @property
    def requirement(self) -> str:
        """The pin as apt takes it, "name=version"."""
        return f"{self.package}={self.version}"

    def download(self, incoming: Path, progress: Progress) -> Path:
        """Run ``apt-get download`` into a folder and return the package file."""
        apt = shutil.which("apt-get")
        by_hand = (
            f"fetch {self.package}_{self.version}_all.deb from Debian's archive or "
            "snapshot.debian.org by hand and name it: 'isodepth texts fetch NAME --from FILE'; or use "
            "a file of pairs of your own, with column and right_column (--column and --right-column)."
        )
        if apt is None:
            raise DownloadError(
                f"{self.requirement} is a Debian package, and there is no apt-get here", hint=by_hand
            )
        label = f"downloading {self.package}"
        status, said = run_download(
            [str(Path(apt).absolute()), "download", "-q", self.requirement],
            folder=incoming,
            environment={"LC_ALL": "C"},
            label=label,
            size_bytes=self.size_bytes,
            watched=incoming,
            progress=progress,
        )
        debs = sorted(incoming.glob("*.deb"))
        if status != 0 or len(debs) != 1:
            raise DownloadError(
                f"could not download {self.requirement} with apt-get (exit status {status}): "
                f"{last_errors(said, program='apt-get')}",
                hint=f"run 'apt-get update' first if its lists are old; or {by_hand}",
            )
        progress(label, self.size_bytes, self.size_bytes, "bytes")
        return debs[0]
