"""Where bytes come from: pinned packages, the hub, files. Everything pinned is verified by sha256."""

from isodepth.cache import cache_directory
from isodepth.sources.archives import copy_member, read_deb_members, read_member, unpacked_gzip
from isodepth.sources.debs import DebPin
from isodepth.sources.digests import folder_digest
from isodepth.sources.downloads import Pin, fetch_file, import_file, stored_file
from isodepth.sources.hub import hub_revision, hub_snapshot, is_hub_id, is_hub_model_here
from isodepth.sources.hub_datasets import HubDataset, hub_dataset, is_hub_dataset_here
from isodepth.sources.paths import existing_path
from isodepth.sources.wheels import WheelPin

__all__ = [
    "DebPin",
    "HubDataset",
    "Pin",
    "WheelPin",
    "cache_directory",
    "copy_member",
    "existing_path",
    "fetch_file",
    "file_digest",
    "folder_digest",
    "hub_dataset",
    "hub_revision",
    "hub_snapshot",
    "import_file",
    "is_hub_dataset_here",
    "is_hub_id",
    "is_hub_model_here",
    "read_deb_members",
    "read_member",
    "stored_file",
    "unpacked_gzip",
]
