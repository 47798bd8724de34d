"""Alerts: which rows of an answer meet a condition, as edges: raised, still, resolved.

Time is that of the watermark: an alert depends on the points, and on no clock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from dataflow.times.durations import parse_duration
from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import Type
from runtime.display.json_form import plain_rows
from runtime.display.text_tables import iso
from runtime.errors import QueryError
from runtime.live.row_changes import CurrentAnswer, json_text
from runtime.result.result import Result

RAISED, STILL, RESOLVED = "raised", "still", "resolved"

_Length = str | timedelta


@dataclass(frozen=True)
class Alert:
    """A condition on each row: its column ``when`` (bool) is true for as long as ``hold``; or its column
    ``silent_since`` (a time, such as a device's last report) is at least ``hold`` ago. With ``remind``, a row that
    still meets it says so that often."""

    when: str | None = None
    silent_since: str | None = None
    hold: _Length | None = None
    remind: _Length | None = None

    def check(self, result: Result) -> None:
        """QueryError unless the answer has the column, of the right type."""
        name = self.when or self.silent_since or ""
        column = result.columns.get(name)
        kind, of = (Type.BOOL, "true or false") if self.when else (Type.TIME, "a time")
        if column is None:
            raise QueryError(
                f"alert: there is no column {name!r} in the answer; {meant(name, result.columns, 'there')} are "
                f"{', '.join(result.columns)}"
            )
        if column.type is not kind:
            raise QueryError(f"alert: column {name!r} is {column.type}, it must be {of}")

    def lengths(self) -> tuple[int, int | None]:
        """``hold`` and ``remind`` in microseconds; QueryError for a wrong alert."""
        if (self.when is None) == (self.silent_since is None):
            raise QueryError("an alert has a condition, either when= (a column) or silent_since= (a column of times)")
        if self.silent_since is not None and self.hold is None:
            raise QueryError("alert: silent_since= needs hold=, for how long nothing must have come, such as '10m'")
        try:
            held = 0 if self.hold is None else parse_duration(self.hold, "alert(hold)")
            return held, None if self.remind is None else parse_duration(self.remind, "alert(remind)")
        except DataflowError as error:
            raise QueryError(str(error)) from None


@dataclass
class AlertWatch:
    """The rows that meet the condition of ``alert``: by their names, since when, and whether that was said."""

    alert: Alert
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._hold, self._remind = self.alert.lengths()

    def edges(self, answer: CurrentAnswer, names: Sequence[str]) -> list[dict[str, Any]]:
        """What began, goes on and ended with this answer, whose rows have these ``names``."""
        self.alert.check(answer.result)
        now, found = answer.watermark, []
        if now is None:
            return []
        columns = list(answer.result.columns)
        shown = plain_rows(answer.result.columns)
        present: dict[str, tuple[dict[str, Any], int]] = {}
        for name, values, since in zip(names, shown, self._since(answer.result, now), strict=True):
            if since is not None:
                present.setdefault(name, (_row(columns, values), since))
        for name in [name for name in self.rows if name not in present]:
            held = self.rows.pop(name)
            if held["said"] is not None:
                place = names.index(name) if name in names else None
                row = held["row"] if place is None else _row(columns, shown[place])
                found.append(self._edge(RESOLVED, row, held["since"], answer))
        for name, (row, since) in present.items():
            held = self.rows.setdefault(name, {"since": since, "said": None})
            held["row"] = row
            if self.alert.silent_since is not None:
                held["since"] = since
            if held["said"] is None:
                if now - held["since"] >= self._hold:
                    held["said"] = now
                    found.append(self._edge(RAISED, row, held["since"], answer))
            elif self._remind is not None and now - held["said"] >= self._remind:
                held["said"] = now
                found.append(self._edge(STILL, row, held["since"], answer))
        return found

    def _since(self, result: Result, now: int) -> list[int | None]:
        """Since when each row meets the condition; None where it does not."""
        if self.alert.when is not None:
            return [now if value is True else None for value in result[self.alert.when]]
        assert self.alert.silent_since is not None
        times = result[self.alert.silent_since]
        return [int(t) if t is not None and now - int(t) >= self._hold else None for t in times]  # type: ignore[call-overload]

    @staticmethod
    def _edge(kind: str, row: Mapping[str, Any], since: int, answer: CurrentAnswer) -> dict[str, Any]:
        assert answer.watermark is not None
        return {
            "edge": kind, "row": row, "since": iso(since), "watermark": iso(answer.watermark),
            "snapshot": answer.snapshot, "proof": answer.proof,
        }  # fmt: skip


def _row(columns: Sequence[str], values: Sequence[object]) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(json_text(dict(zip(columns, values, strict=True))))
    return row
