"""Object stores: named, immutable bytes (point files, rejects), in a folder or in S3."""

from __future__ import annotations

from runtime.objects.folder_objects import FolderObjects
from runtime.objects.object_store import FileMissing, ObjectInfo, ObjectStore, check_path
from runtime.objects.s3_objects import S3Objects

__all__ = ["FileMissing", "FolderObjects", "ObjectInfo", "ObjectStore", "S3Objects", "check_path"]
