"""Where results are kept: content-keyed, write-once artifacts, each with a JSON manifest.

`Store` is a folder of them; `ResumableArray` is the one thing in it that is not write-once, and makes
long extractions restartable.
"""

from isodepth.store.artifacts import Artifact, Store
from isodepth.store.places import default_store
from isodepth.store.remote import RemoteStore, open_store
from isodepth.store.resumable import ArrayProgress, ResumableArray
from isodepth.store.safetensors_files import ARRAYS
from isodepth.store.sealing import MANIFEST, DamagedArtifactWarning, content_key

__all__ = [
    "ARRAYS",
    "MANIFEST",
    "ArrayProgress",
    "Artifact",
    "DamagedArtifactWarning",
    "RemoteStore",
    "ResumableArray",
    "Store",
    "content_key",
    "default_store",
    "open_store",
]
