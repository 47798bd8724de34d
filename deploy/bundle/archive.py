"""Writes a folder as a reproducible zip: the same files give the same bytes."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from operators.errors import DataflowError

LIMIT = 60_000_000
"""Unzipped bytes of the largest bundle. Lambda allows 250 MB, and reads all used files at every cold start."""

_TIME = (1980, 1, 1, 0, 0, 0)
_LEVEL = 6
_MODE = 0o100644 << 16  # a regular file, readable by all; loading a shared object needs no more


class BundleError(DataflowError):
    """A bundle cannot be built as requested."""


class NoWheels(BundleError):
    """pip downloads no wheels: there is no package index that can be reached, or it does not have them."""


@dataclass(frozen=True)
class Part:
    """A top-level folder of a bundle: files, and unzipped bytes."""

    name: str
    files: int
    bytes: int


def parts_of(sizes: Mapping[str, int]) -> list[Part]:
    """Top-level folders of files given as path -> bytes, largest first."""
    found: dict[str, list[int]] = {}
    for path, size in sizes.items():
        found.setdefault(path.partition("/")[0], []).append(size)
    return sorted((Part(n, len(s), sum(s)) for n, s in found.items()), key=lambda p: (-p.bytes, p.name))


def check_size(parts: Iterable[Part], limit: int = LIMIT) -> None:
    """BundleError with the largest parts if the total exceeds ``limit`` bytes."""
    parts = list(parts)
    total = sum(p.bytes for p in parts)
    if total > limit:
        largest = ", ".join(f"{p.name} {p.bytes / 1e6:.1f} MB" for p in parts[:4])
        raise BundleError(
            f"the bundle has {total / 1e6:.1f} MB unzipped, more than {limit / 1e6:.0f}: its largest parts are "
            f"{largest}; exclude what no function imports"
        )


def files_of(folder: Path) -> dict[str, Path]:
    """The files below ``folder`` by relative path, sorted."""
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return dict(sorted(found.items()))


def write(files: Mapping[str, Path], out: Path) -> int:
    """Write the zip ``out`` atomically; returns its size in bytes."""
    part = out.with_name(f".{out.name}.part")
    try:
        with zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL) as archive:
            for name, path in files.items():
                info = zipfile.ZipInfo(name, _TIME)
                info.compress_type, info.external_attr, info.create_system = zipfile.ZIP_DEFLATED, _MODE, 3
                archive.writestr(info, path.read_bytes(), compresslevel=_LEVEL)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return out.stat().st_size
