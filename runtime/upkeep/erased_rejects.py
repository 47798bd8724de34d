"""Rejected records without those that contain an erased key.

A rejected record has no key that could be compared, so it is searched as text: a record goes if the key is in it, and
not only as a part of a longer word. More may go than is of the key; what the sources' entries count stays.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable

import orjson

from runtime.errors import FormatError, StoreError
from runtime.ingest.text.rejects import COPY
from runtime.objects import FileMissing, ObjectStore

_TRIES = 5
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")

Holds = Callable[[str], bool]


def searched(key: str | int) -> Holds:
    """Whether a text contains the key, as it is or as JSON and CSV write it."""
    text = str(key)
    forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], text.replace('"', '""')}
    parts = [
        ("" if not form[:1] or re.match(r"\W", form[:1]) else r"(?<!\w)")
        + re.escape(form)
        + ("" if re.match(r"\W", form[-1:]) else r"(?!\w)")
        for form in sorted(forms)
    ]
    pattern = re.compile("|".join(parts))

    def holds(found: str) -> bool:
        if pattern.search(found):
            return True
        return "\\" in found and pattern.search(_unescaped(found)) is not None

    return holds


def erase_rejects(objects: ObjectStore, stream: str, key: str | int, dry_run: bool = False) -> tuple[int, int]:
    """Remove the records with the key from all rejects of a stream, whichever sources and attempts they are of.

    Returns how many records, and in how many objects. With ``dry_run`` they are only counted.
    """
    holds = searched(key)
    _finish_copies(objects, stream, dry_run)
    records = changed = 0
    for path in [info.path for info in objects.list(_folder(stream)) if not info.path.endswith(COPY)]:
        removed = _without(objects, path, holds, dry_run)
        records += removed
        changed += removed > 0
    return records, changed


def erase_all_rejects(objects: ObjectStore, stream: str, dry_run: bool = False) -> int:
    """Remove all rejects of a stream; returns the number of objects."""
    paths = [info.path for info in objects.list(_folder(stream))]
    for path in () if dry_run else paths:
        objects.delete(path, versions=True)
    return len(paths)


def _folder(stream: str) -> str:
    return f"rejects/{stream}/"


def _without(objects: ObjectStore, path: str, holds: Holds, dry_run: bool) -> int:
    """Write an object again without the records that hold the key; returns their number.

    An object is never overwritten: a copy is written, the object deleted and written anew, the copy deleted. Until the
    end the copy has what remains (``_finish_copies``, and ``retry_rejects`` reads it).
    """
    for _ in range(_TRIES):
        try:
            data = objects.read(path, 0, objects.size(path))
        except FileMissing:
            return 0
        left, removed = _remaining(data, path, holds)
        if dry_run or not removed:
            return removed
        copy = path + COPY
        objects.delete(copy, versions=True)
        objects.put(copy, left)
        objects.delete(path, versions=True)
        try:
            objects.put(path, left)
        except StoreError:
            if not _there(objects, path):
                raise
            continue  # an ingest of the same source, which began before the erasure, was faster
        objects.delete(copy, versions=True)
        return removed
    raise StoreError(f"{path} is written again all the time: repeat when this source is not ingested")


def _finish_copies(objects: ObjectStore, stream: str, dry_run: bool) -> None:
    """Finish what an erasure that was interrupted has begun."""
    if dry_run:
        return
    for copy in [info.path for info in objects.list(_folder(stream)) if info.path.endswith(COPY)]:
        path = copy.removesuffix(COPY)
        if not _there(objects, path):
            objects.put(path, objects.read(copy, 0, objects.size(copy)))
        objects.delete(copy, versions=True)


def _there(objects: ObjectStore, path: str) -> bool:
    try:
        objects.size(path)
    except FileMissing:
        return False
    return True


def _remaining(data: bytes, path: str, holds: Holds) -> tuple[bytes, int]:
    """The object without these records, and their number; they count as not listed."""
    kept: list[bytes] = []
    removed = not_listed = 0
    reasons: dict[str, int] = {}
    try:
        for line in data.splitlines():
            fields = orjson.loads(line)
            if "not_listed" in fields:
                not_listed, reasons = int(fields["not_listed"]), fields.get("reasons", {})
            elif "text" in fields and any(map(holds, _texts(fields))):
                removed += 1
            else:
                kept.append(line)
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} does not hold rejected records ({error}): it was altered or damaged.") from error
    if removed + not_listed:
        kept.append(orjson.dumps({"not_listed": removed + not_listed, "reasons": reasons}))
    return b"\n".join(kept) + b"\n", removed


def _texts(fields: dict[str, str]) -> list[str]:
    """What is known of a record."""
    out = [fields["text"], str(fields.get("reason", ""))]
    if "base64" in fields:
        out.append(base64.b64decode(fields["base64"]).decode("utf-8", "replace"))
    return out


def _unescaped(text: str) -> str:
    """The text with the escapes of JSON resolved."""
    found = _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text).replace("\\/", "/")
    return found.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
