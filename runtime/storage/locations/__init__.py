"""Where stores are: what a URL says, and the object store and catalogue there. Each module declares its scheme."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from runtime.errors import StoreError
from runtime.storage.locations.folder import CATALOGUE, Folder
from runtime.storage.locations.s3 import TABLE, BucketLocation
from runtime.storage.locations.schemes import SCHEMES, Location, has_points

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")


def locate(url: str | Path) -> Location:
    """The location of a path, or of a URL with a known scheme; StoreError for what is neither."""
    text = str(url)
    scheme, mark, _ = text.partition("://")
    if mark and scheme in SCHEMES:
        return SCHEMES[scheme](text)
    if mark or text.partition(":/")[0] in SCHEMES:
        raise StoreError(f"{text}: a store is a folder, or s3://bucket/prefix given as text")
    root = Path(text).absolute()
    if root.exists() and not root.is_dir():
        raise StoreError(f"{text} is a file; a store is a folder")
    return Folder(root)


__all__ = ["CATALOGUE", "SCHEMES", "TABLE", "BucketLocation", "Folder", "Location", "has_points", "locate"]
