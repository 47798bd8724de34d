"""The published queries of a store: versions 1, 2, ... of every name, each an immutable object."""

from __future__ import annotations

from dataclasses import replace

from operators.nearest import listed, meant
from runtime.aws.kms import Signer
from runtime.errors import QueryError, StoreError
from runtime.objects import ObjectStore
from runtime.objects.object_store import FileMissing
from runtime.published.definition import LARGEST, Published, checked_name, is_version, path_of, read, split_name

_FOLDER = "queries/"
_TRIES = 100


def publish(objects: ObjectStore, first: Published, signer: Signer | None = None) -> Published:
    """Store ``first`` (from ``define``) as the next version of its name.

    If the latest version is the same query with the same kernels, it is returned. Concurrent publishers get different
    versions.
    """
    for _ in range(_TRIES):
        latest = max(_numbers(objects, first.name), default=0)
        if latest:
            found = load(objects, first.name, latest, None)
            same = found.digest == first.digest and set(first.kernels) <= set(found.kernels)
            if same and (signer is None or _is_signed(found, signer)):
                return found
        wanted = replace(first, version=latest + 1)
        if signer is not None:
            wanted = wanted.signed(signer)
        try:
            objects.put(wanted.path, wanted.to_bytes())
        except StoreError:
            if not _exists(objects, wanted.path):
                raise
            # Another publisher was faster: look at that version.
            continue
        return wanted
    raise StoreError(f"{first.name}: too many concurrent publishers; try again")


def load(objects: ObjectStore, name: str, number: int, signer: Signer | None) -> Published:
    """One version; QueryError if it does not exist, FormatError if it is malformed."""
    path = path_of(name, number)
    try:
        size = objects.size(path)
    except FileMissing:
        known = sorted(_numbers(objects, name))
        if not known:
            raise _unknown(objects, name) from None
        raise QueryError(f"{name} has no version {number}; its versions are {known[0]} to {known[-1]}") from None
    if size > LARGEST:
        raise StoreError(f"{path} has {size:,} bytes, more than any published query")
    return read(objects.read(path, 0, size), name, number, signer)


def find(objects: ObjectStore, text: str, signer: Signer | None) -> Published:
    """The query called ``uptime`` (its latest version) or ``uptime@3``."""
    name, number = split_name(text)
    if number is None:
        number = max(_numbers(objects, name), default=0)
        if not number:
            raise _unknown(objects, name)
    return load(objects, name, number, signer)


def latest(objects: ObjectStore) -> list[Published]:
    """The latest version of every query, by name."""
    newest: dict[str, int] = {}
    for name, number in _all(objects, _FOLDER):
        newest[name] = max(number, newest.get(name, 0))
    return [load(objects, name, number, None) for name, number in sorted(newest.items())]


def last(objects: ObjectStore, name: str) -> Published | None:
    """A query's latest version; None if there is none."""
    number = max(_numbers(objects, checked_name(name)), default=0)
    return load(objects, name, number, None) if number else None


def versions(objects: ObjectStore, name: str) -> list[Published]:
    """All versions of one query, the first one first."""
    found = [load(objects, name, number, None) for number in sorted(_numbers(objects, checked_name(name)))]
    if not found:
        raise _unknown(objects, name)
    return found


def _numbers(objects: ObjectStore, name: str) -> list[int]:
    return [number for _, number in _all(objects, f"{_FOLDER}{name}/")]


def _all(objects: ObjectStore, prefix: str) -> list[tuple[str, int]]:
    out = []
    for info in objects.list(prefix):
        name, _, file = info.path.removeprefix(_FOLDER).partition("/")
        number = file.removesuffix(".json")
        if file.endswith(".json") and is_version(number):
            out.append((name, int(number)))
    return out


def _unknown(objects: ObjectStore, name: str) -> QueryError:
    known = sorted({n for n, _ in _all(objects, _FOLDER)})
    names = listed(known) if known else "none yet (use dataflow publish)"
    return QueryError(
        f"there is no published query {name!r} in this store; {meant(name, known, 'its')} queries: {names}"
    )


def _exists(objects: ObjectStore, path: str) -> bool:
    try:
        objects.size(path)
    except FileMissing:
        return False
    return True


def _is_signed(found: Published, signer: Signer) -> bool:
    return found.mac is not None and signer.verify(found.message(), found.mac)
