"""Locations of stores: parses paths and URLs into an object store and a catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qsl, quote, urlsplit

from operators.nearest import meant
from runtime.aws.access import Access
from runtime.errors import StoreError
from runtime.objects import FolderObjects, ObjectStore, S3Objects

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue

TABLE = "antfold"
"""The catalogue table of stores in S3 whose URL names no other."""

CATALOGUE = "catalogue.sqlite"
"""The catalogue's file in a store's folder."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
_OPTIONS = ("table", "profile", "region", "endpoint")


class Location(Protocol):
    """The location of a store; ``url`` identifies it in any process."""

    @property
    def url(self) -> str:
        """The store's URL in its full form."""
        ...

    @property
    def worker_url(self) -> str:
        """The URL for a remote worker, which has its own identity."""
        ...

    @property
    def access(self) -> Access | None:
        """Access to its AWS services; None if it uses none."""
        ...

    def objects(self) -> ObjectStore:
        """Its object store."""
        ...

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """Its catalogue. If there is none, ``create`` says whether to create one; if not, StoreError."""
        ...


@dataclass(frozen=True)
class Folder:
    """A local folder that contains the catalogue as a file."""

    root: Path
    access: None = None

    @property
    def url(self) -> str:
        """The absolute path."""
        return str(self.root)

    @property
    def worker_url(self) -> str:
        """The same path, for workers that see it too."""
        return self.url

    def objects(self) -> ObjectStore:
        """Objects as files."""
        return FolderObjects(self.root)

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """The catalogue in SQLite."""
        path = self.root / CATALOGUE
        if not path.exists():
            if not create() and not has_points(self.objects()):
                raise StoreError(f"{self.root}: there is no store here; ingest something first (dataflow ingest)")
            self.root.mkdir(parents=True, exist_ok=True)
        from runtime.catalogue import SqliteCatalogue

        return SqliteCatalogue(path, in_use=lambda: has_points(self.objects()))


@dataclass(frozen=True)
class BucketLocation:
    """A prefix of an S3 bucket, with the catalogue in a DynamoDB table that other stores may share."""

    name: str
    prefix: str
    table: str
    access: Access

    @property
    def url(self) -> str:
        """The URL with the table, and with the options that were given."""
        given = {"table": self.table} | {name: getattr(self.access, name) for name in _OPTIONS[1:]}
        options = "&".join(f"{name}={quote(value, safe=':/')}" for name, value in given.items() if value)
        return f"s3://{self.name}/{self.prefix}?{options}"

    @property
    def worker_url(self) -> str:
        """The URL without the profile, which only this machine knows."""
        return replace(self, access=replace(self.access, profile=None)).url

    def objects(self) -> ObjectStore:
        """Objects in S3."""
        return S3Objects(self.name, self.prefix, self.access)

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """The catalogue in DynamoDB."""
        from runtime.catalogue import DynamoCatalogue

        return DynamoCatalogue(
            self.table, f"{self.name}/{self.prefix}", self.access, create, in_use=lambda: has_points(self.objects())
        )


def has_points(objects: ObjectStore) -> bool:
    """Whether there are point files, with or without a catalogue."""
    return any(found.path.endswith(".points") for found in objects.list("data/"))


def locate(url: str | Path) -> Location:
    """The location of a path or of ``s3://bucket/prefix?table=NAME``; StoreError for anything else."""
    text = str(url)
    if text.startswith("s3://"):
        return _bucket(text)
    if "://" in text or text.startswith("s3:/"):
        raise StoreError(f"{text}: a store is a folder, or s3://bucket/prefix given as text")
    root = Path(text).absolute()
    if root.exists() and not root.is_dir():
        raise StoreError(f"{text} is a file; a store is a folder")
    return Folder(root)


def _bucket(text: str) -> BucketLocation:
    parts = urlsplit(text)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown or parts.fragment or len(given) != len(parse_qsl(parts.query, keep_blank_values=True)):
        hint = meant(unknown[0], _OPTIONS).strip() if unknown else ""
        raise StoreError(
            f"{text}: a store's URL has the options {', '.join(_OPTIONS)}, each once, and no others"
            + (f"; {hint}" if hint else "")
        )
    if not _BUCKET.fullmatch(parts.netloc):
        raise StoreError(f"{text}: {parts.netloc!r} is not a bucket name; write s3://bucket/prefix")
    table = given.get("table", TABLE)
    if not _TABLE.fullmatch(table):
        raise StoreError(f"{text}: a DynamoDB table has 3 to 255 letters, digits, '_', '-' and '.' as its name")
    access = Access(*(given.get(name) or None for name in _OPTIONS[1:]))
    location = BucketLocation(parts.netloc, parts.path.strip("/"), table, access)
    location.objects()  # checks the prefix without connecting
    return location
