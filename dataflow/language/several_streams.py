"""The DSL of metrics over several streams: ``union``, and joins as of a time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Self, TypeVar

from dataflow.expressions.expr import Expr
from dataflow.language.timelines import Chain
from dataflow.steps import JoinAsof, KeyBy, Union
from dataflow.steps.answers.key_by import ALONE
from dataflow.steps.base import Step
from dataflow.steps.union import MAX_STREAMS, is_part
from dataflow.times.durations import parse_duration
from dataflow.values.mistaken import shown, text_of, without_call
from operators.errors import DataflowError

C = TypeVar("C", bound=Chain)


class StreamJoins(Chain):
    """Steps that bring rows of another stream to those of a stream."""

    def join_asof(
        self,
        other: Self,
        on: str | Expr | None = None,
        tolerance: str | timedelta | None = None,
        suffix: str | None = None,
    ) -> Self:
        """Add the columns of the last row of ``other`` of the same key at or before each row's time.

        That row is taken as it is, with its nulls; of several at one time, the one that was committed last. Columns are
        null where there is none, or where it is older than ``tolerance`` (a row of exactly that age counts). ``other``
        is a stream, or a union, with row steps: filter it to look only at some rows, ``.held("bid")`` takes last
        reports, and ``.with_columns(quoted=df.time())`` brings its time along.

        ``on`` is the key, by default; to join by another column, ingest both streams by it. A column that both have
        is an error, unless ``suffix`` is given, which is put behind the other's name. Rows of ``other`` before the
        range count, too.
        """
        rows = _part(other, "join_asof")
        if isinstance(on, Expr) and on.fn == "col":
            on = str(on.option("name"))
        if on is not None:
            text_of(on, "join_asof(on)")
        if suffix is not None and not text_of(suffix, "join_asof(suffix)"):
            raise DataflowError("join_asof(suffix) is a text that is not empty")
        age = None if tolerance is None else parse_duration(tolerance, "join_asof(tolerance)")
        return _few(self._then(JoinAsof(rows, age, suffix, on)), "join_asof")  # type: ignore[arg-type]


def union(*streams: C) -> C:
    """The rows of several streams as one, by key and time; at equal times in the order of the arguments.

    Each argument is a stream, or a union, with row steps (``filter``, ``with_columns``, ``select``, ``held``,
    ``join_asof``), which see only its own rows. Key and time have the names of the first one's. A column that one does
    not have is null in its rows; a column of two types is an error.
    """
    if len(streams) < 2:
        raise DataflowError('union takes at least two streams: df.union(df.stream("a"), df.stream("b"))')
    parts = tuple(_part(s, "union") for s in streams)
    return _few(replace(streams[0], steps=(Union(parts),)), "union")


def _part(stream: object, where: str) -> tuple[Step, ...]:
    """The steps of a stream with row steps."""
    steps = stream.steps if isinstance(stream, Chain) else ()
    if is_part(steps):
        return steps
    if (call := without_call(stream)) is not None:
        raise DataflowError(f"{where}: {call}")
    if not steps or not steps[0].starts:
        raise DataflowError(f"{where} takes streams, like df.stream('quotes'), got {shown(stream)}")
    wrong = next(s for s in steps[1:] if not s.in_unions)
    if isinstance(wrong, KeyBy):
        raise DataflowError(f"{where}: {ALONE}")
    raise DataflowError(
        f"{where}: {wrong.method} makes rows of another kind; {where} takes streams with filter, with_columns, select, "
        f"held and join_asof only; put {wrong.method} behind it"
    )


def _few(stream: C, where: str) -> C:
    """The stream itself; DataflowError if it names too many streams."""
    if (n := sum(1 for step in stream.steps for _ in step.streams())) > MAX_STREAMS:
        raise DataflowError(f"{where}: a metric names at most {MAX_STREAMS} streams, got {n}")
    return stream
