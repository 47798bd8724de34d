"""Notes: small items of the store as a whole, by name, for programs that come back to what they did before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime.catalogue.claims import MAX_UNKNOWN
from runtime.catalogue.items import seal
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import ConditionFailed, OutcomeUnknown, Put, Steps, WriteCondition, get, transact
from runtime.errors import StoreError

NOTE = "NOTE"
_TRIES = 100

Held = Mapping[str, Any]


def note_steps(name: str) -> Steps[tuple[int, Held] | None]:
    """The note's number, which rises with each change, and its content; None if there is none."""
    found = yield from get(NOTE, name)
    if found is None:
        return None
    what = f"note {name!r}"
    return found[0], load(seal.open_json(NOTE, name, *found, what), what)


def change_note_steps(name: str, change: Callable[[Held | None], Held]) -> Steps[Held]:
    """Replace the note by what ``change`` makes of it; repeated where another process is faster, or a reply is lost."""
    unknown = 0
    for _ in range(_TRIES):
        before = yield from note_steps(name)
        held = change(None if before is None else before[1])
        if before is not None and held == before[1]:
            return held
        number = 1 if before is None else before[0] + 1
        when = WriteCondition.ABSENT if before is None else WriteCondition.EQUAL
        body = seal.sealed_json(NOTE, name, number, dump(held))
        try:
            yield from transact([Put(NOTE, name, body, when, number - 1, number)])
            return held
        except ConditionFailed:
            continue
        except OutcomeUnknown:
            unknown += 1
            if unknown > MAX_UNKNOWN:
                raise
    raise StoreError(f"the note {name!r} of the catalogue is changed by others all the time: try again.")
