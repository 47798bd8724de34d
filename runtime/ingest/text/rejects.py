"""Rejected records: counted by reason, and kept whole, so that they can be offered again."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import orjson

from operators.types import Type
from runtime.errors import FormatError
from runtime.ingest.report import Reason, Reject, counted
from runtime.ingest.text.tokens import Bytes

KEPT_BYTES = 64 << 20
"""Bytes of records that are kept; beyond it they are only counted."""

EXAMPLES = 5
_REASONS = 200
_TEXT = 200
OTHER = "other reasons"


class KnownRows(NamedTuple):
    """How rows of CSV are read without a header, where that is known: the ``names`` of their columns, the separator,
    and whether blanks around values are left out."""

    names: tuple[str, ...]
    separator: str
    trim: bool


class RowFault(NamedTuple):
    """Bytes ``start`` to ``end`` of a buffer are a record that is rejected for ``reason``. ``again``: the record as
    JSON, if that text is not enough to read it once more."""

    start: int
    end: int
    reason: str
    again: bytes | None = None


class Rejects:
    """The rejects of one source. ``head`` is the header of CSV, and ``rows`` is how its rows are read without one.
    ``as_json``: they are JSON, whatever the source was; ``types`` are those of columns which that does not show."""

    def __init__(self) -> None:
        self.count = 0
        self.reasons: dict[str, int] = {}
        self.head = ""
        self.rows: KnownRows | None = None
        self.as_json = False
        self.as_text = False
        """Of lines: what looks like a number is text as well."""
        self.types: dict[str, Type] = {}
        self._first: dict[str, Reject] = {}
        self._lines: list[tuple[int, int, bytes]] = []  # byte, line, JSON: rows come in pieces, faults between them
        self._size = 0

    @property
    def examples(self) -> tuple[Reject, ...]:
        """The first rejects of each of the first few reasons."""
        return tuple(sorted(self._first.values(), key=_place))[:EXAMPLES]

    def add(self, faults: Iterable[RowFault], data: Bytes, base: int, line: int) -> None:
        """Record faults in a buffer that starts at byte ``base`` and line ``line`` of the source."""
        seen = 0
        for fault in sorted(faults, key=lambda fault: fault[:3]):
            self.as_json |= fault.again is not None
            if self._size < KEPT_BYTES:
                line += int(np.count_nonzero(data[seen : fault.start] == 10))
                seen = fault.start
                raw = data[fault.start : fault.end].tobytes().rstrip(b"\r\n")
                self._keep(
                    Reject(line, base + fault.start, fault.reason, raw.decode("utf-8", "replace")), fault.again or raw
                )
            self.tally(fault.reason)

    def add_rows(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Record rejected rows of a table: number, reason, and the row as JSON; a table has no lines and bytes."""
        for row, reason, text in rows:
            self.as_json = True
            if self._size < KEPT_BYTES:
                self._keep(Reject(row + 1, 0, reason, text), text.encode())
            self.tally(reason)

    def tally(self, reason: str, n: int = 1) -> None:
        """Count a reason; beyond some hundred reasons, the rest is counted together."""
        self.count += n
        reason = counted(reason)
        if reason not in self.reasons and len(self.reasons) >= _REASONS:
            reason = OTHER
        self.reasons[reason] = self.reasons.get(reason, 0) + n

    def _keep(self, reject: Reject, raw: bytes) -> None:
        fields: dict[str, Any] = {"line": reject.line, "byte": reject.byte, "reason": str(reject.reason)}
        fields["text"] = reject.text
        if reject.text.encode("utf-8", "surrogatepass") != raw:
            fields["base64"] = base64.b64encode(raw).decode()
        if (of := counted(reject.reason)) != reject.reason:
            fields["counted"] = of
        line = orjson.dumps(fields)
        self._lines.append((reject.byte, reject.line, line))
        self._size += len(line)
        reason = counted(reject.reason)
        first = self._first.get(reason)
        if len(self._first) < _REASONS if first is None else _place(reject) < _place(first):
            self._first[reason] = reject._replace(text=reject.text[:_TEXT])

    def to_ndjson(self) -> bytes:
        """One JSON object per line: the head, if there is one; each record; the number of those that are not kept."""
        known = {} if self.rows is None else self.rows._asdict()
        lines = [orjson.dumps({"head": self.head, **known})] if self.head else []
        types = {name: str(type_) for name, type_ in self.types.items()}
        lines += [orjson.dumps({"as_json": True, "types": types})] if self.as_json else []
        lines += [line for *_, line in sorted(self._lines)]
        if self.count > len(self._lines):
            lines.append(orjson.dumps({"not_listed": self.count - len(self._lines), "reasons": self.reasons}))
        return b"\n".join(lines) + b"\n"


COPY = ".erasing"
"""What is added to the path of an object for the copy of what remains of it, while an erasure writes it anew."""


def _place(reject: Reject) -> tuple[int, int]:
    return reject.byte, reject.line


class KeptRejects(NamedTuple):
    """What was kept of a source's rejects: the head, the records with their bytes, how many are only counted, whether
    the records are JSON, whatever the source was, how rows of CSV are read without the head, and the types of columns
    of a table."""

    head: bytes
    records: list[tuple[Reject, bytes]]
    not_listed: int
    as_json: bool = False
    rows: KnownRows | None = None
    types: Mapping[str, Type] = MappingProxyType({})


def kept_rejects(data: bytes, path: str) -> KeptRejects:
    """Reads the form of ``Rejects.to_ndjson``; ``FormatError`` if it is damaged."""
    head, not_listed, as_json, rows = b"", 0, False, None
    types: dict[str, Type] = {}
    records: list[tuple[Reject, bytes]] = []
    try:
        for line in data.splitlines():
            fields = orjson.loads(line)
            if "head" in fields:
                head = fields["head"].encode()
                if "names" in fields:
                    rows = KnownRows(tuple(fields["names"]), fields["separator"], fields["trim"])
            elif "as_json" in fields:
                as_json = True
                types = {name: Type(type_) for name, type_ in fields.get("types", {}).items()}
            elif "not_listed" in fields:
                not_listed = int(fields["not_listed"])
            else:
                text = fields["text"]
                raw = base64.b64decode(fields["base64"]) if "base64" in fields else text.encode()
                reason = Reason(fields["reason"], fields.get("counted", ""))
                records.append((Reject(fields["line"], fields["byte"], reason, text), raw))
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{path} does not hold rejected records ({error}): it was altered or damaged.") from error
    return KeptRejects(head, records, not_listed, as_json, rows, types)
