"""Messages of brokers as records: one a line, with what only the message says in columns of their own."""

from __future__ import annotations

from collections.abc import Callable, Collection

import orjson


def on_one_line(value: bytes) -> bytes:
    """The same JSON without ends of lines."""
    return value.strip().replace(b"\n", b" ").replace(b"\r", b" ")


def with_columns(text: bytes, names: Collection[str], value_of: Callable[[str], object]) -> bytes:
    """A JSON object with those of the columns ``names`` that it does not have itself; anything else as it is."""
    if not names or not text.startswith(b"{"):
        return text
    own = _own_names(text, names)
    added = {name: value_of(name) for name in names if name not in own}
    if not added:
        return text
    rest = text[1:].lstrip()
    return orjson.dumps(added)[:-1] + (b"" if rest.startswith(b"}") else b",") + rest


def _own_names(text: bytes, names: Collection[str]) -> Collection[str]:
    """Which of the names a JSON object has already."""
    if not any(orjson.dumps(name) in text for name in names):  # it is not parsed for nothing
        return ()
    try:
        return set(orjson.loads(text))
    except orjson.JSONDecodeError:
        return ()
