"""The formats of sources: every module of this folder declares one."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from runtime.ingest.formats.known_formats import SourceFormat, batches_of, check_format, names, register

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")

__all__ = ["SourceFormat", "batches_of", "check_format", "names", "register"]
