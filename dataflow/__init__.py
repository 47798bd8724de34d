"""antfold's DSL: compose metrics over streams of points, and run them with ``runtime.Store``.

import dataflow as df

uptime = (
    df.stream("telemetry")
    .state_duration("status", hold="5m")
    .group_by("firmware")
    .agg(uptime=df.share_of_time(df.col("status") == "up"), devices=df.count_distinct("device"))
)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dataflow._home import check_home

check_home()

from dataflow.expressions.aggregate_calls import Agg  # noqa: E402
from dataflow.expressions.expr import (  # noqa: E402
    Expr,
    When,
    all_of,
    any_of,
    col,
    concat,
    greatest,
    haversine,
    least,
    lit,
    session,
    since,
    time,
    until,
    when,
)
from dataflow.expressions.param_calls import param  # noqa: E402
from dataflow.language import aggregates as _aggregates  # noqa: E402
from dataflow.language import statistics as _statistics  # noqa: E402
from dataflow.language.aggregates import *  # noqa: E402, F403
from dataflow.language.own_functions import scan, scanned  # noqa: E402
from dataflow.language.several_streams import union  # noqa: E402
from dataflow.language.statistics import *  # noqa: E402, F403
from dataflow.language.stream import Grouped, Stream, stream  # noqa: E402
from dataflow.language.timelines import at_least, combine, join  # noqa: E402
from dataflow.language.triggers import Trigger, trigger  # noqa: E402
from dataflow.metrics.json_form import from_json as _steps_from_json  # noqa: E402
from dataflow.tables.calendars import Calendar, calendar  # noqa: E402
from dataflow.tables.reference_tables import ReferenceTable  # noqa: E402
from dataflow.values.elsewhere import MODULE as _MODULE  # noqa: E402
from operators.errors import DataflowError  # noqa: E402
from operators.lazy_imports import late  # noqa: E402

if TYPE_CHECKING:
    from operators.contract import Aggregate, ExactSum, Field, Flags, FloatSum, TallySpec, merge_by_adding
    from operators.laws.check import LawBroken, check_laws
    from operators.types import Type

table = ReferenceTable
"""A reference table: ``df.table(source)`` of columns, a file of any form that ingest reads, or a data frame."""

# For custom aggregates; imported on first use, since they import numpy.
__getattr__ = late(
    __name__,
    {
        "operators.contract": ("Aggregate", "ExactSum", "Field", "Flags", "FloatSum", "TallySpec", "merge_by_adding"),
        "operators.laws.check": ("LawBroken", "check_laws"),
        "operators.types": ("Type",),
    },
    _MODULE,
)


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__file__", "__name__", "__path__"])


def from_json(text: str) -> Stream:
    """A metric from its canonical JSON form; raises DataflowError that names the place of an error."""
    return Stream(_steps_from_json(text))


__all__ = [
    "Agg", "Aggregate", "Calendar", "DataflowError", "ExactSum", "Expr", "Field", "Flags", "FloatSum",
    "Grouped", "LawBroken", "ReferenceTable", "Stream", "TallySpec", "Trigger", "Type", "When", "all_of", "any_of",
    "at_least", "calendar", "check_laws", "col", "combine", "concat", "from_json", "greatest", "haversine",
    "join", "least", "lit", "merge_by_adding", "param", "scan", "scanned", "session", "since", "stream",
    "table", "time", "trigger", "union", "until", "when",
]  # fmt: skip
__all__ += [*_aggregates.__all__, *_statistics.__all__]
