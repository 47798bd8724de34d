"""``compare``: the values of a shifted range beside those of the range."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from dataflow.binding.typing import Expressions, GraphError, Shape
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import LOOKING, RANGE, STATEFUL
from dataflow.expressions.node import option_text, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader
from dataflow.steps.answers.join_answer import JoinMetric
from dataflow.steps.answers.side_by_side import BesideAnswer, SideBySide
from dataflow.steps.base import TABLE, Bound, InnerMetric, Step
from dataflow.steps.groups import GroupBy
from dataflow.steps.order import Limit, Sort
from dataflow.steps.rows import Filter
from dataflow.steps.top import Top
from dataflow.tables.answer_tables import AnswerTable, answer_in
from dataflow.times.durations import parse_duration, written_duration
from dataflow.typed.clock import CLOCK_PARTS, asks_clock
from dataflow.values.settings import Setting
from operators.errors import DataflowError
from operators.types import Type

_OWN_TIMES = ("start", "end", "cohort", "entry")
"""Columns of times of the rows that follow keys."""


def _shift_in(reader: Reader, value: Any, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value == 0 or abs(value) >= 2**62:
        raise JsonFormError(f"{where}: expected microseconds other than 0, got {short(value)}")
    return value


def shift_of(value: object, where: str = "compare(shift)") -> int:
    """Microseconds of a length of time with a sign (``"-7d"``); DataflowError for anything else."""
    sign: int = 1
    if isinstance(value, str) and value.endswith(("mo", "y")) and value.strip("+-moy").isdecimal():
        raise DataflowError(
            f"{where}: {value!r} is not of one length; shift by days ('-364d'), or take the value of an earlier "
            "bucket: group_by(month=df.time().truncate('1mo')), then df.col('n').previous(1, order='month')"
        )
    if isinstance(value, str):
        sign, value = (-1 if value.startswith("-") else 1), value.removeprefix("-").removeprefix("+")
    elif isinstance(value, timedelta) and value < timedelta(0):
        sign, value = -1, -value
    return sign * parse_duration(value, where)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Compare(Step, op="compare"):
    """Beside each group the values of the range that is ``shift`` microseconds later, under names with a ``prefix``."""

    shift: int = json.field_of(
        lambda value: value, _shift_in, value=lambda value, where, others: shift_of(value, where)
    )
    prefix: str = json.text()
    how: str = json.choice("full", "left")

    makes = TABLE
    takes_table = True

    def calls(self) -> list[str]:
        """See Step."""
        options = given({"prefix": (self.prefix, "before_"), "how": (self.how, "full")})
        if isinstance(self.shift, Setting):
            return [call("compare", [option_text("shift", self.shift), *options])]
        shift = f"{'-' if self.shift < 0 else ''}{written_duration(abs(self.shift))}"
        return [call("compare", [quoted(shift), *options])]

    def inner(self, before: Sequence[Step]) -> tuple[InnerMetric, ...]:
        """See Step."""
        where = f"step {len(before) + 1} (compare)"
        at = max((i for i, s in enumerate(before) if s.groups() is not None), default=-1)
        grouping = before[at] if at >= 0 else None
        if not isinstance(grouping, GroupBy):
            raise GraphError(f"{where}: it compares groups; use it after group_by(...).agg(...)")
        by = [name for name, _ in grouping.by]
        for i, step in enumerate(before[at + 1 :], at + 2):
            if step.drops_others:
                kept = {_name(e): name for name, e in step.new_columns()}
                if missing := [name for name in by if name not in kept]:
                    raise GraphError(
                        f"{where}: step {i} ({step.method}) drops {missing[0]!r}, which the "
                        "rows are grouped by; keep that column"
                    )
                by = [kept[name] for name in by]
            if isinstance(step, Filter | Sort | Limit | Top):
                raise GraphError(
                    f"{where}: step {i} ({step.method}) has dropped or ordered groups before; "
                    "use compare first, so that it sees all groups of both ranges"
                )
        _check_groups(before[: at + 1], where)
        return (InnerMetric(_shifted(before, -self.shift), self.shift),)

    def answered(self, answers: Sequence[AnswerTable]) -> tuple[Step, ...]:
        """See Step."""
        (table,) = answers
        return (ComparedAnswer(table, self.prefix, self.how),)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        raise b.fail("its metric has to be answered first; ask a store")


@dataclass(frozen=True, eq=False)
class ComparedAnswer(Step, op="compared_answer"):
    """The table and the answer of the shifted range, joined on the columns that its rows are grouped by."""

    table: AnswerTable = json.field_of(AnswerTable.to_dict, answer_in)
    prefix: str = json.text()
    how: str = json.choice("full", "left")

    makes = TABLE
    takes_table = True
    mixes_answers = True

    @property
    def method(self) -> str:
        """See Step."""
        return "compare"

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        there = [name for name in shape.by if name in shape.env]
        columns = tuple((self.prefix + name, name) for name in self.table.types if name not in there)
        return BesideAnswer(self.table, tuple(there), self.how, columns, self.method).bind(b, shape)


def _shifted(steps: Iterable[Step], later: int) -> tuple[Step, ...]:
    """The metric for the shifted range: its groups' times are those of the range, ``later`` than their own."""
    out: list[Step] = []
    times: set[str] = set()
    is_table = False
    for step in steps:
        if isinstance(step, Compare):
            continue
        if is_table and isinstance(step, SideBySide | JoinMetric):
            step = replace(step, metric=_shifted(step.metric, later))
        elif isinstance(step, GroupBy) and not is_table:
            step = replace(step, by=tuple((n, _later(e, times, later)) for n, e in step.by), empty=False)
        is_table = is_table or step.makes == TABLE
        if step.follows_keys:
            times = set(_OWN_TIMES)
        new = step.new_columns()
        buckets = {n for n, e in new if (e.fn == "truncate" and asks_clock(e)) or _name(e) in times}
        times = buckets if step.drops_others else (times - {n for n, _ in new}) | buckets
        out.append(step)
    return tuple(out)


def _check_groups(steps: Sequence[Step], where: str) -> None:
    """GraphError for group columns of which the shift does not know how they move with the time of the row."""
    times: set[str] = set()
    moving: set[str] = set()
    for step in steps:
        if isinstance(step, GroupBy):
            for name, e in step.by:
                _check_group(name, e, times, moving, where)
            return
        if step.follows_keys:
            times, moving = set(_OWN_TIMES), set()
        new = step.new_columns()
        buckets = {n for n, e in new if (e.fn == "truncate" and asks_clock(e)) or _name(e) in times}
        depend = {n for n, e in new if asks_clock(e) or _columns(e) & (times | moving)} - buckets
        named = {n for n, _ in new}
        times = buckets if step.drops_others else (times - named) | buckets
        moving = depend if step.drops_others else (moving - named) | depend


def _check_group(name: str, e: Expr, times: set[str], moving: set[str], where: str) -> None:
    columns = _columns(e)
    shifts = asks_clock(e) or bool(columns & times)
    of_others = columns - times
    looks = any(n.fn in (*STATEFUL, *RANGE, *LOOKING, "over") for n in _nodes(e))
    unknown = any((n.fn == "truncate" or n.fn in CLOCK_PARTS) and not _moves(n, times) for n in _nodes(e))
    if columns & moving or unknown or (shifts and (of_others or looks)):
        raise GraphError(
            f"{where}: it cannot tell how the group column {name!r} moves with the time of the row; group by a bucket "
            "or part of df.time(), or of the rows' start, written in group_by, or by columns that do not depend on it"
        )


def _moves(e: Expr, times: set[str]) -> bool:
    return asks_clock(e) or bool(_columns(e) & times)


def _nodes(e: Expr) -> Iterator[Expr]:
    yield e
    for a in e.args:
        yield from _nodes(a)


def _columns(e: Expr) -> set[str]:
    return {str(n.option("name")) for n in _nodes(e) if n.fn == "col"}


def _name(e: Expr) -> object:
    return e.option("name") if e.fn == "col" else None


def _later(e: Expr, times: set[str], later: int) -> Expr:
    """The expression at a time ``later`` than that of the row; columns that hold times are moved."""
    if e.fn == "time" or _name(e) in times:
        return e + Expr("lit", (), (("type", Type.DURATION.value), ("value", later)))
    return replace(e, args=tuple(_later(a, times, later) for a in e.args)) if e.args else e
