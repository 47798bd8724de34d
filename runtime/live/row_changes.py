"""What changed from one answer to the next, row by row, so that the changes applied in order are the answer."""

from __future__ import annotations

import bisect
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from runtime.display.json_form import plain_rows
from runtime.display.text_tables import iso
from runtime.result.result import Result

EARLY, ON_TIME, LATE = "early", "on_time", "late"
"""The panes of a row: before the watermark has passed its end, the first one after that, those that follow."""

Row = Mapping[str, object]
"""The values of a row by column, as in ``Result.to_dict``."""

Snapshot = int | Mapping[str, int]
"""The commit that an answer is of; of several streams, by name."""


@dataclass(frozen=True)
class RowChange:
    """A row of an answer that appeared (``old`` is None), changed, or went (``new`` is None).

    ``left`` is the place of the old row in the answer before, ``place`` that of the new row in the answer after all
    changes of its ``snapshot``, counted from 0: see ``applied``. Where ``old`` and ``new`` are equal, the row has moved
    or its pane is a new one. ``more`` is how many changes of the same snapshot follow. ``watermark`` (microseconds UTC)
    is the time up to which points are expected to be there; None without points. ``proof`` is the digest of the whole
    answer (``Proof.result``).
    """

    pane: str
    old: Row | None
    new: Row | None
    left: int | None
    place: int | None
    watermark: int | None
    snapshot: Snapshot
    proof: str
    more: int = 0

    def to_dict(self) -> dict[str, object]:
        """The change as plain JSON values."""
        return {
            "pane": self.pane,
            "old": self.old,
            "new": self.new,
            "left": self.left,
            "place": self.place,
            "watermark": None if self.watermark is None else iso(self.watermark),
            "snapshot": self.snapshot,
            "proof": self.proof,
            "more": self.more,
        }

    def to_json(self) -> str:
        """``to_dict`` as JSON on one line; decimals are text."""
        return json_text(self.to_dict())


@dataclass(frozen=True)
class CurrentAnswer:
    """A whole answer, and what has changed since the one before."""

    result: Result
    watermark: int | None
    snapshot: Snapshot
    changes: tuple[RowChange, ...] = ()

    @property
    def proof(self) -> str:
        """The digest of the answer."""
        return str(self.result.proof.to_dict()["result"])

    def to_dict(self) -> dict[str, object]:
        """The answer as plain JSON values."""
        return {
            "columns": list(self.result.columns),
            "rows": plain_rows(self.result.columns),
            "watermark": None if self.watermark is None else iso(self.watermark),
            "snapshot": self.snapshot,
            "proof": self.proof,
        }

    def to_json(self) -> str:
        """``to_dict`` as JSON on one line; decimals are text."""
        return json_text(self.to_dict())


def applied(rows: Sequence[Row], changes: Iterable[RowChange]) -> list[Row]:
    """The rows of an answer after changes to it: all those of one snapshot, or of several, one after another.

    The old rows are taken out, and the new ones put in at their places, the first places first. ValueError if a change
    is not one of ``rows``, or is missing.
    """
    out = list(rows)
    waiting: list[RowChange] = []
    for change in changes:
        waiting.append(change)
        if change.more:
            continue
        out = _applied(out, waiting)
        waiting = []
    if waiting:
        raise ValueError(f"{waiting[-1].more} more changes of snapshot {waiting[-1].snapshot} are missing")
    return out


def _applied(rows: list[Row], changes: Sequence[RowChange]) -> list[Row]:
    taken = {c.left: c.old for c in changes if c.left is not None}
    for place, old in taken.items():
        if place >= len(rows) or rows[place] != old:
            raise ValueError(f"row {place} is not the one that the change was of")
    out = [row for place, row in enumerate(rows) if place not in taken]
    for change in sorted((c for c in changes if c.place is not None), key=lambda c: c.place or 0):
        assert change.place is not None
        assert change.new is not None
        if change.place > len(out):
            raise ValueError(f"there is no row before place {change.place}")
        out.insert(change.place, change.new)
    return out


def json_text(value: Mapping[str, object]) -> str:
    """JSON on one line; decimals are text."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(value)


# ---- from one answer to the next


@dataclass(frozen=True)
class AnswerRows:
    """The rows of an answer for comparison: their values, a text that tells different ones apart, and what identifies
    a row from one answer to the next: its group, or all of it."""

    values: list[list[object]] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, result: Result, by: Sequence[str]) -> AnswerRows:
        """The rows of a result that are identified by the columns ``by``, if it has them all."""
        values = plain_rows(result.columns)
        texts = [_text(row) for row in values]
        columns = list(result.columns)
        if not by or not set(by) <= set(columns):
            return cls(values, texts, texts)
        at = [columns.index(name) for name in by]
        return cls(values, texts, [_text([row[i] for i in at]) for row in values])

    def some(self, wanted: Sequence[bool]) -> AnswerRows:
        """The rows that are wanted."""
        at = [i for i, is_wanted in enumerate(wanted) if is_wanted]
        return AnswerRows([self.values[i] for i in at], [self.texts[i] for i in at], [self.names[i] for i in at])


def _text(row: Sequence[object]) -> str:
    return json.dumps(row, default=_plain)


@dataclass(frozen=True)
class Pair:
    """A row before and after, by place; None where there is none."""

    left: int | None
    place: int | None


def pairs(before: AnswerRows, after: AnswerRows) -> list[Pair]:
    """The rows of two answers that have one name, in the order of the answer after, those that went first.

    Of several rows with one name, the first belongs to the first.
    """
    waiting: dict[str, list[int]] = defaultdict(list)
    for left in reversed(range(len(before.names))):
        waiting[before.names[left]].append(left)
    found = [Pair(waiting[name].pop() if waiting.get(name) else None, at) for at, name in enumerate(after.names)]
    gone = sorted(left for lefts in waiting.values() for left in lefts)
    return [*(Pair(left, None) for left in gone), *found]


def still(found: Sequence[Pair]) -> set[int]:
    """The most rows that keep their order, by their places after."""
    kept = [(p.left, p.place) for p in found if p.left is not None and p.place is not None]
    # The longest ascending run of places before, by patience sorting.
    ends: list[int] = []
    at: list[int] = []
    back: list[int | None] = []
    for i, (left, _) in enumerate(kept):
        j = bisect.bisect_left(ends, left)
        back.append(at[j - 1] if j else None)
        if j == len(ends):
            ends.append(left)
            at.append(i)
        else:
            ends[j], at[j] = left, i
    out: set[int] = set()
    i_or_none = at[-1] if at else None
    while i_or_none is not None:
        out.add(kept[i_or_none][1])
        i_or_none = back[i_or_none]
    return out
