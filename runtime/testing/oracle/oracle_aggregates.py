"""Aggregates over the rows of one group."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from runtime.testing.oracle import many_values, oracle_statistics
from runtime.testing.oracle import oracle_decimals as decimals
from runtime.testing.oracle.clock import asks_clock, cut, remembered
from runtime.testing.oracle.expressions import checked, evaluate, in_range, type_of
from runtime.testing.oracle.rows import Json, Row, Table, Value

OF_TIME = {"share_of_time", "duration", "known_time", "unknown_time"}
WEIGHED = {"time_weighted_mean", "integral"}
FAILURES = {"mtbf", "mttr"}
LOOKING_BACK = {"increase", "rate", "transitions", *FAILURES}
JSON = {"histogram", "top_k", "transitions", "candlestick", "collect"}
SIMPLE: dict[str, Callable[[list[Any]], Any]] = {"min": min, "max": max, "any_true": any, "all_true": all}


@dataclass(frozen=True)
class PlainAggregate:
    """One aggregate, its argument and its condition already evaluated in every row of the table."""

    name: str
    fn: str
    rows: list[Row]
    argument: list[Value] | None
    argument_type: str | None
    where: list[Value] | None
    options: Json
    before: list[tuple[Value, int] | None]
    """For each row the value that its key reported last before it, and when; of aggregates that look back."""

    parts: list[list[int]] | None = None
    """Where ``rows`` are pieces that the aggregate alone makes of the table's: for each of these its pieces."""

    second: list[Value] | None = None
    second_type: str | None = None
    """The second argument, of aggregates that take two."""

    def over(self, members: list[int]) -> Any:
        """The aggregate of the table's rows with these indices."""
        if self.parts is not None:
            members = [part for i in members for part in self.parts[i]]
        chosen = [i for i in members if self.where is None or self.where[i] is True]
        if self.fn == "unknown_time":
            return checked(sum(self.rows[i].length for i in chosen if not self._known(i)))
        chosen = [i for i in chosen if not self.rows[i].ghost]
        if self.fn in OF_TIME:
            return self._of_time(chosen)
        if self.fn in FAILURES:
            return self._of_failures(chosen)
        if self.argument is None:
            return len(chosen)
        in_order = sorted(chosen, key=lambda i: (self.rows[i].time, i))
        in_order = [i for i in in_order if self.argument[i] is not None]
        if _is_along_lines(self.options):
            return self._along_lines(in_order)
        if self.fn in WEIGHED:
            known = [i for i in in_order if self.rows[i].known]
            total = sum(self.rows[i].length for i in known)
            over = total if self.fn == "time_weighted_mean" else many_values.SECOND
            if total == 0:
                return None
            exact = many_values.area([(self.argument[i], self.rows[i].length) for i in known]) / over
            return round(exact) if self.argument_type == "duration" else in_range(exact)
        if self.fn in LOOKING_BACK:
            return self._of_steps(in_order)
        if self.second is not None:
            return self._of_pairs([(self.argument[i], self.second[i]) for i in in_order if self.second[i] is not None])
        if self.fn == "mode" and in_order:
            return oracle_statistics.mode([(self.rows[i].time, self.argument[i]) for i in in_order])
        return self._of_values([self.argument[i] for i in in_order])

    def _along_lines(self, in_order: list[int]) -> Any:
        """Trapezoids between a key's reports, each where its later one is."""
        assert self.argument is not None
        area, time = Fraction(), 0
        for i in in_order:
            before: Any = self.before[i]
            value: Any = self.argument[i]
            if before is None or self.rows[i].time - before[1] > (self.options.get("hold") or math.inf):
                continue
            length = self.rows[i].time - before[1]
            area += (Fraction(before[0]) + Fraction(value)) / 2 * length
            time += length
        if time == 0:
            return None
        exact = area / (time if self.fn == "time_weighted_mean" else many_values.SECOND)
        return round(exact) if self.argument_type == "duration" else in_range(exact)

    def _of_failures(self, chosen: list[int]) -> Any:
        """The time in which the condition held, per time that it ceased to; for mttr, of its opposite."""
        held = self.fn == "mtbf"
        time = sum(self.rows[i].length for i in chosen if self.rows[i].known and self._is(i, held))
        failures = [i for i in chosen if self.rows[i].is_whole and self._is(i, not held) and self._was(i, held)]
        return round(Fraction(time, len(failures))) if failures else None

    def _is(self, i: int, held: bool) -> bool:
        return self.argument is not None and self.argument[i] is held

    def _was(self, i: int, held: bool) -> bool:
        before = self.before[i]
        return before is not None and before[0] is held

    def _of_steps(self, in_order: list[int]) -> Any:
        assert self.argument is not None
        whole = [i for i in in_order if self.rows[i].is_whole]
        pairs = [(b, self.argument[i], self.rows[i].time) for i in whole if (b := self.before[i]) is not None]
        if self.fn == "transitions":
            return many_values.transitions([(b[0], v) for b, v, _ in pairs])
        steps = [checked(many_values.step(b[0], v)) for b, v, _ in pairs]
        if any(isinstance(s, float) and math.isinf(s) for s in steps):
            return None
        exact = sum(map(Fraction, steps), Fraction(0))
        if self.fn == "increase":
            if not steps:
                return None
            return in_range(exact) if self.argument_type == "float64" else checked(self._whole(exact))
        time = sum(t - b[1] for b, _, t in pairs)
        return in_range(exact * many_values.SECOND / time) if time else None

    def _of_time(self, chosen: list[int]) -> Any:
        if self.fn == "duration":
            return checked(sum(self.rows[i].length for i in chosen if self._true(i)))
        known = [i for i in chosen if self._known(i)]
        total = checked(sum(self.rows[i].length for i in known))
        if self.fn == "known_time":
            return int(total)
        return None if total == 0 else sum(self.rows[i].length for i in known if self._true(i)) / total

    def _known(self, i: int) -> bool:
        """Whether the state is known, and the condition, if there is one."""
        return self.rows[i].known and not self.rows[i].ghost and (self.argument is None or self.argument[i] is not None)

    def _true(self, i: int) -> bool:
        return self.argument is None or self.argument[i] is True

    def _of_pairs(self, pairs: list[tuple[Any, Any]]) -> Any:
        if not pairs:
            return None
        if self.fn in oracle_statistics.PICKED:
            return oracle_statistics.picked(self.fn, pairs)
        kinds = self.argument_type or "", self.second_type or ""
        exact = oracle_statistics.paired(self.fn, pairs, kinds, self.options)
        if exact is None:
            return None
        return oracle_statistics.signed_root(exact) if self.fn == "correlation" else in_range(exact)

    def _of_values(self, values: list[Any]) -> Any:
        if self.fn == "count":
            return len(values)
        if self.fn == "count_distinct":
            return len(set(values))
        if self.fn == "approx_distinct":
            return many_values.approx_distinct(values)
        if self.fn == "histogram":
            return many_values.histogram(values, self.options["width"], self.options["edges"], self.argument_type or "")
        if self.fn == "top_k":
            return many_values.top_k(values, self.options["k"])
        if self.fn == "collect":
            return oracle_statistics.listed(values, self.options["first"])
        if not values:
            return None
        if self.fn in oracle_statistics.MOMENTS:
            return oracle_statistics.moment(self.fn, values, self.options["ddof"])
        if self.fn == "candlestick":
            return many_values.candlestick(values)
        if self.fn in ("quantile", "median"):
            exact = self.options.get("exact", False)
            between = self.options.get("interpolation", "lower")
            return many_values.quantile(values, self.options.get("q", 0.5), exact, self.argument_type or "", between)
        if self.fn in ("variance", "stddev"):
            square = many_values.variance(values, self.options["ddof"])
            if square is None:
                return None
            if self.fn == "stddev" and self.argument_type == "duration":
                return checked(many_values.nearest_root(square))
            return in_range(square) if self.fn == "variance" else many_values.root(square)
        if self.fn in SIMPLE:
            return SIMPLE[self.fn](values)
        if self.fn == "first":
            return values[0]
        if self.fn == "last":
            return values[-1]
        exact = sum(map(Fraction, values), Fraction(0))
        if self.fn == "sum":
            return in_range(exact) if self.argument_type == "float64" else checked(self._whole(exact))
        if self.fn == "mean":
            mean = exact / len(values)
            return round(mean) if self.argument_type == "duration" else in_range(mean)
        raise ValueError(f"unknown aggregate {self.fn!r}")

    def _whole(self, exact: Fraction) -> Any:
        """A sum of integers or of decimals."""
        digits = decimals.places(self.argument_type)
        return int(exact) if digits is None else decimals.of_fraction(exact, digits)

    @property
    def type(self) -> str | None:
        """The type of the result."""
        if self.fn in ("count", "count_distinct", "approx_distinct"):
            return "int64"
        if self.fn in JSON:
            return "json"
        if self.argument_type == "duration" and self.fn in ("mean", "stddev", "time_weighted_mean"):
            return "duration"
        if self.fn in ("mean", "share_of_time", "variance", "stddev", "rate", *WEIGHED):
            return "float64"
        if self.fn in oracle_statistics.PAIRED | oracle_statistics.MOMENTS:
            return "float64"
        if self.options.get("interpolation") == "linear":
            return "duration" if self.argument_type == "duration" else "float64"
        if self.fn in ("any_true", "all_true"):
            return "bool"
        return "duration" if self.fn in OF_TIME | FAILURES else self.argument_type


def _is_along_lines(agg: Json) -> bool:
    return agg.get("between") == "linear"


def prepare(aggregates: list[Json], table: Table, params: dict[str, Value]) -> list[PlainAggregate]:
    """The aggregates of a step, their expressions evaluated over all rows of the table."""
    prepared = []
    for entry in aggregates:
        fn, args, where = entry["agg"]["fn"], entry["agg"].get("args", []), entry["agg"].get("where")
        timed = OF_TIME | WEIGHED | FAILURES
        allowed = {"intervals": timed, "sessions": {"duration"}}.get(table.kind, set())
        along_lines = _is_along_lines(entry["agg"]) and table.kind != "intervals"
        if fn in timed and fn not in allowed and not along_lines:
            raise ValueError(f"{fn} has no meaning over {table.kind}")
        if table.kind == "intervals" and any(map(asks_clock, [*args, where])):
            prepared.append(_by_clock(entry, table, params))
            continue
        argument = evaluate(args[0], table, params) if args else None
        looks = argument is not None and (fn in LOOKING_BACK or along_lines)
        before = reported_before(table, argument or [], args[0], params) if looks else []
        prepared.append(
            PlainAggregate(
                entry["name"],
                fn,
                table.rows,
                argument,
                type_of(args[0], table.types) if args else None,
                None if where is None else evaluate(where, table, params),
                entry["agg"],
                before,
                None,
                evaluate(args[1], table, params) if len(args) > 1 else None,
                type_of(args[1], table.types) if len(args) > 1 else None,
            )
        )
    return prepared


def _by_clock(entry: Json, table: Table, params: dict[str, Value]) -> PlainAggregate:
    """The aggregate over pieces that are cut for it alone: where its condition or its argument changes."""
    agg = entry["agg"]
    fn, args = agg["fn"], agg["args"]
    conditions = [agg["where"]] if agg["where"] is not None else []
    if fn == "duration":
        conditions, args = conditions + args, []
    moving = [arg for arg in args if asks_clock(arg)]
    numbered = [replace(row, values=row.values | {"$row": i}) for i, row in enumerate(table.rows)]
    before = reported_before(table, evaluate(args[0], table, params), args[0], params) if fn in LOOKING_BACK else []
    # What looks at other rows does not see the pieces.
    whole, still = remembered(replace(table, rows=numbered), args, params)
    pieces = cut(whole, [*conditions, *moving], params, conditions=len(conditions))
    kept = [all(row.values[f"${i}"] is True for i in range(len(conditions))) for row in pieces.rows]
    rows = [row for row, keep in zip(pieces.rows, kept, strict=True) if keep]
    argument = None
    if moving:
        argument = [row.values[f"${len(conditions)}"] for row in rows]
    elif args:
        argument = evaluate(still[0], replace(pieces, rows=rows), params)
    parts: list[list[int]] = [[] for _ in table.rows]
    for i, row in enumerate(rows):
        parts[int(str(row.values["$row"]))].append(i)
    looked = [before[int(str(row.values["$row"]))] for row in rows] if before else []
    kind = type_of(args[0], table.types) if args else None
    return PlainAggregate(entry["name"], fn, rows, argument, kind, None, agg, looked, parts)


def reported_before(
    table: Table, values: list[Value], expr: Json, params: dict[str, Value]
) -> list[tuple[Value, int] | None]:
    """For each row the value that its key reported last before it, and when."""
    last: dict[Any, tuple[Value, int]] = {}
    past = table.past
    for row, value in zip(past.rows, evaluate(expr, past, params), strict=True):
        if value is not None:
            last[row.key] = value, row.time if row.begin is None else row.begin
    index = {id(row): i for i, row in enumerate(table.rows)}
    found: list[tuple[Value, int] | None] = [None] * len(table.rows)
    for rows in table.by_key():
        for row in rows:
            i = index[id(row)]
            found[i] = last.get(row.key)
            if values[i] is not None:
                last[row.key] = values[i], row.time if row.begin is None else row.begin
    return found
