"""The formats of sources: every module here and below declares one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

from runtime.ingest.formats.known_formats import (
    SourceFormat,
    batches_of,
    check_format,
    formats,
    names,
    perhaps,
    register,
)

for _found in walk_packages(__path__, f"{__name__}."):
    import_module(_found.name)

__all__ = ["SourceFormat", "batches_of", "check_format", "formats", "names", "perhaps", "register"]
