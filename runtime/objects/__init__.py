"""Object stores: named, immutable runs of bytes (point files, rejects), in a folder now and in S3 later."""

from __future__ import annotations

from runtime.objects.folder import FolderObjects
from runtime.objects.store import FileMissing, ObjectInfo, ObjectStore, check_path

__all__ = ["FileMissing", "FolderObjects", "ObjectInfo", "ObjectStore", "check_path"]
