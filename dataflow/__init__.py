"""antfold's DSL: compose operator graphs over streams of points, and run them with ``runtime.Store``.

import dataflow as df

uptime = (
    df.stream("telemetry")
    .state_duration("status", hold="5m")
    .group_by("firmware")
    .agg(uptime=df.share_of_time(df.col("status") == "up"), devices=df.count_distinct("device"))
)
"""

from __future__ import annotations

from dataflow._home import check_home

check_home()

from dataflow.expr import Expr, When, all_of, any_of, col, lit, param, time, when  # noqa: E402
from dataflow.graph import Agg  # noqa: E402
from dataflow.json_form import from_json as _steps_from_json  # noqa: E402
from dataflow.reference import ReferenceTable  # noqa: E402
from dataflow.service import Calendar, calendar  # noqa: E402
from dataflow.stream import (  # noqa: E402
    Grouped,
    Stream,
    all_true,
    any_true,
    count,
    count_distinct,
    duration,
    first,
    known_time,
    last,
    max,
    mean,
    min,
    share_of_time,
    stream,
    sum,
    unknown_time,
)  # fmt: skip
from dataflow.timelines import at_least, combine  # noqa: E402
from operators.errors import DataflowError  # noqa: E402

table = ReferenceTable
"""A reference table from columns, ``df.table({...})``, or a CSV file, ``df.table.from_csv(path)``."""


def from_json(text: str) -> Stream:
    """A metric from its canonical JSON form; DataflowError naming the place of what is wrong."""
    return Stream(_steps_from_json(text))


__all__ = [
    "Agg", "Calendar", "DataflowError", "Expr", "Grouped", "ReferenceTable", "Stream", "When", "all_of", "all_true",
    "any_of", "any_true", "at_least", "calendar", "col", "combine", "count", "count_distinct", "duration", "first",
    "from_json", "known_time", "last", "lit", "max", "mean", "min", "param", "share_of_time", "stream", "sum", "table",
    "time", "unknown_time", "when",
]  # fmt: skip
