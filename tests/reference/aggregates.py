"""Aggregates over the rows of one group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from tests.reference.expressions import checked, evaluate, type_of
from tests.reference.rows import Json, Row, Table, Value

OF_TIME = {"share_of_time", "duration", "known_time", "unknown_time"}
SIMPLE: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "any_true": any, "all_true": all}


@dataclass(frozen=True)
class Aggregate:
    """One aggregate, its argument and its condition already evaluated in every row of the table."""

    name: str
    fn: str
    rows: list[Row]
    argument: list[Value] | None
    argument_type: str | None
    where: list[Value] | None

    def over(self, members: list[int]) -> Any:
        """The aggregate of the rows with these indices."""
        chosen = [i for i in members if self.where is None or self.where[i] is True]
        if self.fn == "unknown_time":
            return checked(sum(self.rows[i].length for i in chosen if not self.rows[i].known))
        chosen = [i for i in chosen if not self.rows[i].ghost]
        if self.fn in OF_TIME:
            return self._of_time(chosen)
        if self.argument is None:
            return len(chosen)
        in_order = sorted(chosen, key=lambda i: (self.rows[i].time, i))
        return self._of_values([self.argument[i] for i in in_order if self.argument[i] is not None])

    def _of_time(self, chosen: list[int]) -> Any:
        if self.fn == "duration":
            return checked(sum(self.rows[i].length for i in chosen if self._true(i)))
        known = [i for i in chosen if self.rows[i].known]
        total = checked(sum(self.rows[i].length for i in known))
        if self.fn == "known_time":
            return int(total)
        return None if total == 0 else sum(self.rows[i].length for i in known if self._true(i)) / total

    def _true(self, i: int) -> bool:
        return self.argument is None or self.argument[i] is True

    def _of_values(self, values: list[Any]) -> Any:
        if self.fn == "count":
            return len(values)
        if self.fn == "count_distinct":
            return len(set(values))
        if not values:
            return None
        if self.fn in SIMPLE:
            return SIMPLE[self.fn](values)
        if self.fn == "first":
            return values[0]
        if self.fn == "last":
            return values[-1]
        total = float(sum(map(Fraction, values))) if self.argument_type == "float64" else sum(values)
        if self.fn == "sum":
            return checked(total)
        if self.fn == "mean":
            return total / len(values)  # of integers exact, then rounded once
        raise ValueError(f"unknown aggregate {self.fn!r}")

    @property
    def type(self) -> str | None:
        """The type of the result."""
        if self.fn in ("count", "count_distinct"):
            return "int64"
        if self.fn in ("mean", "share_of_time"):
            return "float64"
        if self.fn in ("any_true", "all_true"):
            return "bool"
        return "duration" if self.fn in OF_TIME else self.argument_type


def prepare(aggregates: list[Json], table: Table, params: dict[str, Value]) -> list[Aggregate]:
    """The aggregates of a step, their expressions evaluated over all rows of the table."""
    prepared = []
    for entry in aggregates:
        fn, args, where = entry["agg"]["fn"], entry["agg"].get("args", []), entry["agg"].get("where")
        allowed = {"intervals": OF_TIME, "sessions": {"duration"}}.get(table.kind, set())
        if fn in OF_TIME and fn not in allowed:
            raise ValueError(f"{fn} has no meaning over {table.kind}")
        prepared.append(
            Aggregate(
                entry["name"],
                fn,
                table.rows,
                evaluate(args[0], table, params) if args else None,
                type_of(args[0], table.types) if args else None,
                None if where is None else evaluate(where, table, params),
            )
        )
    return prepared
