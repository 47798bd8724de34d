"""Thresholds of a result: ``uptime < 0.95`` selects the rows to alert on."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from dataflow.times.durations import parse_duration
from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.types import Type
from runtime.columns import Column
from runtime.errors import QueryError
from runtime.result.result import Result

_FORM = re.compile(r"\s*([^\W\d]\w*)\s*(<=|>=|==|!=|<|>)\s*(\S+)\s*")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_OPERATIONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Threshold:
    """A column, a comparison and a number (for durations: microseconds)."""

    text: str
    column: str
    operation: str
    number: Decimal
    is_duration: bool = False

    @classmethod
    def parse(cls, text: str) -> Threshold:
        """Parse ``COLUMN OP NUMBER``; durations as ``5m``. QueryError for anything else."""
        found = _FORM.fullmatch(text) if len(text) <= 300 else None
        if found is None:
            raise QueryError(f"the threshold {text[:300]!r} is not of the form COLUMN < NUMBER (or <=, >, >=, ==, !=)")
        column, operation, value = found.groups()
        if _NUMBER.fullmatch(value):
            return cls(text.strip(), column, operation, Decimal(value))
        try:
            micros = parse_duration(value, "the threshold")
        except DataflowError:
            raise QueryError(f"the threshold {text!r}: {value!r} is neither a number nor a duration (5m, 1d)") from None
        return cls(text.strip(), column, operation, Decimal(micros), is_duration=True)

    def holds(self, value: Any) -> bool | None:
        """Whether it holds for a value; None for null."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        # Compare floats with the float of the text: 0.95 is not below 0.95.
        number = float(self.number) if isinstance(value, float) else self.number
        return _OPERATIONS[self.operation](value, number)

    def of(self, result: Result) -> Column:
        """Its column in ``result``; QueryError if there is no comparable one."""
        column = result.columns.get(self.column)
        if column is None:
            raise QueryError(
                f"the threshold {self.text!r}: the result has no column {self.column!r}; "
                f"{meant(self.column, result.columns, 'it')} has {listed(result.columns)}"
            )
        if not column.type.is_numeric and column.type.places is None:
            raise QueryError(f"the threshold {self.text!r}: the column {self.column} is of type {column.type}")
        if self.is_duration != (column.type is Type.DURATION):
            what = "a duration, for example 5m" if column.type is Type.DURATION else "a number"
            raise QueryError(f"the threshold {self.text!r}: {self.column} is compared with {what}")
        return column


@dataclass(frozen=True)
class Violation:
    """A row for which a threshold holds: its values by column, as JSON values."""

    threshold: str
    row: Mapping[str, object]

    def __str__(self) -> str:
        return f"{self.threshold}: " + ", ".join(f"{name}={value}" for name, value in self.row.items())


@dataclass(frozen=True)
class Judged:
    """A result judged by thresholds: the rows for which they hold, and the number of nulls."""

    violations: tuple[Violation, ...]
    unknown: int


def judged(result: Result, thresholds: tuple[Threshold, ...]) -> Judged:
    """Judge ``result`` by all thresholds, row by row; a null meets no threshold, and is counted."""
    shown: dict[str, Any] = result.to_dict()
    violations, unknown = [], 0
    for threshold in thresholds:
        values = threshold.of(result).to_list()
        for value, row in zip(values, shown["rows"], strict=True):
            holds = threshold.holds(value)
            unknown += holds is None
            if holds:
                violations.append(Violation(threshold.text, dict(zip(shown["columns"], row, strict=True))))
    return Judged(tuple(violations), unknown)
