"""Stores in a bucket of S3."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

from operators.nearest import meant
from runtime.aws.access import Access
from runtime.errors import StoreError
from runtime.objects import ObjectStore, S3Objects
from runtime.storage.locations.schemes import SCHEMES, has_points

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue

TABLE = "antfold"
"""The catalogue table of stores in S3 whose URL names no other."""

DYNAMODB = "dynamodb"
"""The kind of catalogue of stores in S3 whose URL names no other."""

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_TABLE = re.compile(r"[A-Za-z0-9_.-]{3,255}")
ACCESS = ("profile", "region", "endpoint")
"""The options of an address that say how AWS is reached."""

_OPTIONS = ("table", *ACCESS, "catalogue")


@dataclass(frozen=True)
class BucketLocation:
    """A prefix of an S3 bucket, with the catalogue in a table that other stores may share."""

    name: str
    prefix: str
    table: str
    access: Access
    kind: str = DYNAMODB
    """Of its catalogue (``runtime.catalogue.stores``)."""

    @property
    def url(self) -> str:
        """The URL with the table, and with the options that were given."""
        given = {"table": self.table} | {name: getattr(self.access, name) for name in ACCESS}
        given |= {} if self.kind == DYNAMODB else {"catalogue": self.kind}
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
        """The catalogue in the table, of its kind."""
        from runtime.catalogue.catalogue import open_catalogue
        from runtime.catalogue.stores import CataloguePlace

        place = CataloguePlace(self.table, f"{self.name}/{self.prefix}", self.access, create)
        return open_catalogue(self.kind, place, in_use=lambda: has_points(self.objects()))


def is_bucket(name: str) -> bool:
    """Whether a bucket may have this name."""
    return _BUCKET.fullmatch(name) is not None


def bucket(text: str) -> BucketLocation:
    """The location of ``s3://bucket/prefix?table=NAME``; StoreError for what is none."""
    parts = urlsplit(text)
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown or parts.fragment or len(given) != len(parse_qsl(parts.query, keep_blank_values=True)):
        hint = meant(unknown[0], _OPTIONS).strip() if unknown else ""
        raise StoreError(
            f"{text}: a store's URL has the options {', '.join(_OPTIONS)}, each once, and no others"
            + (f"; {hint}" if hint else "")
        )
    if not is_bucket(parts.netloc):
        raise StoreError(f"{text}: {parts.netloc!r} is not a bucket name; write s3://bucket/prefix")
    table = given.get("table", TABLE)
    if not _TABLE.fullmatch(table):
        raise StoreError(f"{text}: a DynamoDB table has 3 to 255 letters, digits, '_', '-' and '.' as its name")
    access = Access(*(given.get(name) or None for name in ACCESS))
    location = BucketLocation(parts.netloc, parts.path.strip("/"), table, access, given.get("catalogue", DYNAMODB))
    if location.kind != DYNAMODB:
        from runtime.catalogue.stores import check_kind

        check_kind(location.kind)
    location.objects()  # checks the prefix without connecting
    return location


SCHEMES["s3"] = bucket
