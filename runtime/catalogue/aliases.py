"""Aliases: by which id a source is known that is also known by where it lies, before it is read.

They are a cache, written after the commit and apart from it: without one a source is read again, and found known by its
content. They are no sources: nothing is counted by them.
"""

from __future__ import annotations

import re

from runtime.catalogue.items import seal
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import Row, Steps, get, query, transact
from runtime.catalogue.log import LogSteps

ALIAS = "ALIAS"
_ID = re.compile(r"[0-9a-f]{64}")


def alias_steps(steps: LogSteps, alias: str) -> Steps[str | None]:
    """The id of the source that has this alias; None if it is not known."""
    found = yield from get(steps.partition(ALIAS), alias)
    return None if found is None else source_of(steps, (alias, *found))


def put_alias_steps(steps: LogSteps, alias: str, source_id: str) -> Steps[None]:
    """Note the alias of a source; nothing depends on who of several is the last."""
    if not _ID.fullmatch(alias) or not _ID.fullmatch(source_id):
        raise ValueError(f"an alias and the id of a source are SHA-256 in hexadecimal, not {alias!r}, {source_id!r}")
    yield from transact([steps.put(ALIAS, alias, dump({"source": source_id}))])


def alias_problems(steps: LogSteps) -> Steps[list[str]]:
    """Aliases that are damaged; each is an error."""
    for row in (yield from query(steps.partition(ALIAS))):
        source_of(steps, row)
    return []


def source_of(steps: LogSteps, row: Row) -> str:
    """The source that an alias's item names; FormatError if it is damaged."""
    alias, number, body = row
    what = f"alias {alias} of stream {steps.stream!r}"
    source_id = load(seal.open_json(steps.partition(ALIAS), alias, number, body, what), what).get("source")
    if not isinstance(source_id, str) or not _ID.fullmatch(source_id):
        raise seal.damaged(what, "it names no source")
    return source_id
