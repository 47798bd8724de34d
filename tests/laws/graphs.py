"""Named metrics, as canonical JSON, that together use every step, expression and aggregate.

Each is compiled once per test run, so points vary, not graphs. Columns and types are those of
``runtime.testing.oracle.strategies``: temp float64, n int64, ok bool, status and firmware string, key ``device``, event
time ``ts``.
"""

from __future__ import annotations

from tests.laws.across_graphs import ACROSS_GRAPHS
from tests.laws.aggregate_graphs import AGGREGATE_GRAPHS
from tests.laws.clock_graphs import CLOCK_GRAPHS
from tests.laws.flow_graphs import FLOW_GRAPHS
from tests.laws.funnel_graphs import FUNNEL_GRAPHS
from tests.laws.interval_graphs import INTERVAL_GRAPHS
from tests.laws.lasting_graphs import LASTING_GRAPHS
from tests.laws.later_graphs import LATER_GRAPHS
from tests.laws.looking_graphs import LOOKING_GRAPHS
from tests.laws.row_graphs import ROW_GRAPHS
from tests.laws.sequence_graphs import DEDUPE_GRAPHS, SEQUENCE_GRAPHS
from tests.laws.statistics_graphs import STATISTICS_GRAPHS
from tests.laws.table_graphs import TABLE_GRAPHS
from tests.laws.timeline_graphs import TIMELINE_GRAPHS
from tests.laws.trailing_graphs import TRAILING_GRAPHS

GRAPHS = (
    ROW_GRAPHS | LASTING_GRAPHS | AGGREGATE_GRAPHS | FLOW_GRAPHS | FUNNEL_GRAPHS | TIMELINE_GRAPHS | CLOCK_GRAPHS
    | LOOKING_GRAPHS | TABLE_GRAPHS | SEQUENCE_GRAPHS | DEDUPE_GRAPHS | TRAILING_GRAPHS
    | STATISTICS_GRAPHS | ACROSS_GRAPHS | LATER_GRAPHS | INTERVAL_GRAPHS
)  # fmt: skip
