"""``funnel``: how many steps each key met, in the attempt that got furthest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call, given, length_text
from dataflow.expressions.expr import Expr, col
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.json.writing import expr_out
from dataflow.plan.row_times import RowTimes
from dataflow.plan.sink import NamedTyped
from dataflow.steps.funnels.attempts import ExcludedRow
from dataflow.steps.funnels.climb import Climb
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.times.durations import written_duration
from dataflow.times.zones import check_zone
from dataflow.typed.nodes import Typed
from operators.types import Type

FUNNEL_MODES = ("strict", "ordered", "any", "any_order")

MAX_FUNNEL = 16
"""The maximum number of steps, and of exclusions; each takes state per key."""

MAX_ENTRIES = 1_000
"""The maximum number of calendar buckets of entry that may be open at once."""


@dataclass(frozen=True, eq=False)
class Exclusion:
    """A row that meets ``where`` after step ``after`` and before step ``before`` ends an attempt."""

    where: Expr
    after: int
    before: int


def _exclusions_in(reader: Reader, value: Any, where: str) -> tuple[Exclusion, ...]:
    found = []
    for i, item in enumerate(reader.rows(value, where)):
        place = f"{where}[{i}]"
        d = reader.fields(item, place, ["where", "after", "before"])
        steps = (reader.whole(d[n], f"{place}.{n}", 1, MAX_FUNNEL) for n in ("after", "before"))
        found.append(Exclusion(reader.expr(d["where"], f"{place}.where"), *steps))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Funnel(KeyedStep, op="funnel"):
    """How many of ``steps`` each key met, within ``within`` microseconds of the first, or each of the step before."""

    steps: tuple[Expr, ...] = json.expressions(2, MAX_FUNNEL)
    within: int | tuple[int, ...] = json.length_or_lengths()
    mode: str = json.choice(*FUNNEL_MODES)
    exclude: tuple[Exclusion, ...] = json.field_of(
        lambda found: [{"where": expr_out(e.where), "after": e.after, "before": e.before} for e in found],
        _exclusions_in,
        (),
    )
    every: str | None = json.every_if_given()
    zone: str = json.text_or("UTC")
    count: str = json.text_or("keys")
    per: str | None = json.text_or(None)
    gap: int | None = json.length_if_given()

    @property
    def row_times(self) -> RowTimes:
        """See Step."""
        if self.per is not None or (self.every is None and self.count == "keys"):
            return RowTimes(ahead=None, lasts=None)  # a later attempt may replace one
        return RowTimes(lasts=sum(self.within) if isinstance(self.within, tuple) else self.within)

    def problem(self) -> str | None:
        """What is wrong with its fields together; None if nothing is."""
        n = len(self.steps)
        if isinstance(self.within, tuple) and len(self.within) != n - 1:
            return (
                f"within has a window for each step after the first, {n - 1} for {n} steps, "
                f"or is one length; got {len(self.within)}"
            )
        if len(self.exclude) > MAX_FUNNEL:
            return f"exclude takes at most {MAX_FUNNEL} conditions, got {len(self.exclude)}"
        for e in self.exclude:
            if not 1 <= e.after < e.before <= n:
                return (
                    f"exclude names two steps of 1 to {n}, the earlier first, like (1, 2); got ({e.after}, {e.before})"
                )
            if self.mode == "any_order" and (e.after, e.before) != (1, n):
                return (
                    "in mode any_order no step is before another, so that rows can be excluded between the first and "
                    f"the last only: (1, {n}); got ({e.after}, {e.before})"
                )
        if self.mode == "any_order" and isinstance(self.within, tuple):
            return "in mode any_order no step is before another, so within is one length"
        if self.count not in ("keys", "all"):
            return f"count is 'keys' or 'all', got {self.count!r}"
        if self.per not in (None, "session"):
            return f"per is 'session', got {self.per!r}"
        if (self.per is None) != (self.gap is None):
            return (
                "a session ends where a key has no rows for longer than gap: give per='session' and gap= together, "
                "for example per='session', gap='30m'"
            )
        if self.every is None and self.zone != "UTC":
            return "zone is that of the buckets of every=, which is not given"
        if self.every is not None and (self.per is not None or self.count == "all"):
            other = "count='all'" if self.count == "all" else "per='session'"
            return f"{other} has a row for each anyway; instead of every=, group them by df.time().truncate(...)"
        return None

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        if (wrong := self.problem()) is not None:
            raise JsonFormError(f"{where}: {wrong}")

    def latest(self) -> list[Expr]:
        """See Step: what ended an attempt comes after the last step that it met."""
        longest = self.within if isinstance(self.within, int) else sum(self.within)
        return [col("start") + timedelta(microseconds=longest)] if self.exclude else []

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        conditions = tuple(b.condition(e, shape, f"step {i + 1} of the funnel") for i, e in enumerate(self.steps))
        excluded = tuple(
            ExcludedRow(b.condition(e.where, shape, f"exclusion {i + 1} of the funnel"), e.after, e.before)
            for i, e in enumerate(self.exclude)
        )
        b.fix_all((*conditions, *(e.condition for e in excluded)), shape)
        in_order = self.mode != "any_order"
        n, bucket = len(conditions), None
        dated = range(2 if in_order else 1, n + 1)
        counted = range(2, 2 if in_order else n + 1)
        columns = {"steps": Type.INT} | {f"step_{i}": Type.TIME for i in dated}
        columns |= {f"reached_{i}": Type.TIME for i in counted}
        if self.every is not None:
            check_zone(self.zone, b.where)
            options = (("every", self.every), ("zone", self.zone))
            bucket = Typed("truncate", Type.TIME, (Typed("time", Type.TIME),), options)
            columns["entry"] = Type.TIME
        all_completed = self.count == "all"

        def sink(held: NamedTyped, needed: set[str]) -> Climb:
            times = tuple(i for i in dated if f"step_{i}" in needed)
            reached = tuple(i for i in counted if f"reached_{i}" in needed)
            return Climb(
                held, conditions, self.within, self.mode, times, excluded, bucket, self.gap, all_completed, reached
            )

        if bucket is not None and (lanes := sink((), set()).lanes) > MAX_ENTRIES:
            raise b.fail(
                f"attempts of {lanes:,} buckets of {self.every!r} may be open at once; "
                f"at most {MAX_ENTRIES:,}: take longer buckets or a shorter window"
            )
        return KeyedRows("funnels", columns, sink, {})

    def calls(self) -> list[str]:
        """See Step."""
        if isinstance(self.within, tuple):
            within = f"[{', '.join(quoted(written_duration(length)) for length in self.within)}]"
        else:
            within = quoted(written_duration(self.within))
        steps = f"[{', '.join(map(operand, self.steps))}]"
        options = given({"mode": (self.mode, "strict")})
        if self.exclude:
            pairs = (f"({operand(e.where)}, ({e.after}, {e.before}))" for e in self.exclude)
            options.append(f"exclude=[{', '.join(pairs)}]")
        options += given(
            {
                "every": (self.every, None),
                "zone": (self.zone, "UTC"),
                "count": (self.count, "keys"),
                "per": (self.per, None),
                "gap": (length_text(self.gap), None),
            }
        )
        return [call("funnel", [steps, str(within), *options])]
