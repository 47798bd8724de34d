"""The benchmark questions, and when two results are equal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HOLD_MS = 300_000
GAP_MS = 90_000
TIMEOUT_MS = 90_000
BUCKET_MS = 600_000
THRESHOLD = 20.0

# Engines that keep a plain float sum are off by rounding; ours is exact and rounded once.
RELATIVE = 1e-9
# A mean of degrees may cancel to nearly zero, where what is left of a plain sum is nothing but rounding.
ABSOLUTE = 1e-12


@dataclass(frozen=True, slots=True)
class Question:
    """One question: what it means, and the columns of its answer in order.

    `keys` identify a row (strings, or event times); `exact` are integers that must agree to the unit; `floats` agree
    to one part in 10^9. `times` names the columns among these that are times or durations, in microseconds.
    """

    name: str
    meaning: str
    keys: tuple[str, ...]
    exact: tuple[str, ...]
    floats: tuple[str, ...]
    times: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of an answer, in order."""
        return self.keys + self.exact + self.floats


QUESTIONS = (
    Question(
        "uptime",
        "time up and time known by firmware: a status holds until the device's next point, at most 5 minutes",
        ("firmware",),
        ("up", "known"),
        (),
        ("up", "known"),
    ),
    Question(
        "sessions",
        "sessions (steps of at most 90 s within a device), how many and how long in all",
        (),
        ("sessions", "length"),
        (),
        ("length",),
    ),
    Question(
        "heartbeat",
        "time alive (a point within the last 90 s) and time since each device's first point",
        (),
        ("alive", "known"),
        (),
        ("alive", "known"),
    ),
    Question(
        "filter_group",
        "mean temperature and number of the points above 20 degrees, by firmware and status",
        ("firmware", "status"),
        ("points",),
        ("mean_temp",),
        (),
    ),
    Question(
        "device_means",
        "mean temperature of each device in each 10 minutes",
        ("device", "bucket"),
        (),
        ("mean_temp",),
        ("bucket",),
    ),
)


class AnswersDifferError(Exception):
    """Two engines gave different answers: nothing may be measured before that is understood."""


def normal_form(question: Question, answer: pa.Table, ticks: int) -> pa.Table:
    """The answer with the question's columns, plain types and sorted rows; `ticks` is microseconds per unit of time."""
    columns: dict[str, pa.ChunkedArray] = {}
    for name in question.columns:
        column = answer[name]
        if name in question.times:
            if pa.types.is_temporal(column.type):
                column = pc.cast(column, _micros(column.type))
                column = pc.cast(column, pa.int64())
            else:
                column = pc.multiply(pc.cast(column, pa.int64()), ticks)
        elif name in question.keys:
            column = pc.cast(column, pa.string())
        else:
            column = pc.cast(column, pa.float64() if name in question.floats else pa.int64())
        columns[name] = column
    table = pa.table(columns)
    return table.sort_by([(name, "ascending") for name in question.keys]) if question.keys else table


def same(question: Question, expected: pa.Table, got: pa.Table, who: str) -> None:
    """Raise AnswersDifferError unless both normal forms hold the same answer."""
    if expected.num_rows != got.num_rows:
        raise AnswersDifferError(
            f"{question.name}: {who} has {got.num_rows} rows where {expected.num_rows} were expected"
        )
    for name in question.columns:
        left, right = expected[name], got[name]
        if name in question.floats:
            apart = ~np.isclose(left.to_numpy(), right.to_numpy(), rtol=RELATIVE, atol=ABSOLUTE)
        else:
            apart = pc.not_equal(left, right).to_numpy()
        if left.null_count or right.null_count or apart.any():
            row = int(np.argmax(apart))
            raise AnswersDifferError(
                f"{question.name}: {who} says {name} = {right[row]} where {left[row]} was expected (row {row}; "
                f"{int(apart.sum())} of {len(apart)} rows differ)"
            )


def _micros(kind: pa.DataType) -> pa.DataType:
    return pa.duration("us") if pa.types.is_duration(kind) else pa.timestamp("us", tz=kind.tz)
