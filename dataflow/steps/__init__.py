"""The steps of metrics: each file holds all that is specific to its steps."""

from dataflow.steps.concurrent import Concurrent
from dataflow.steps.during import During
from dataflow.steps.groups import GroupBy
from dataflow.steps.join import Join
from dataflow.steps.join_asof import JoinAsof
from dataflow.steps.keyed.cohorts import Cohorts
from dataflow.steps.keyed.funnel import Funnel
from dataflow.steps.keyed.sessions import Sessionize
from dataflow.steps.keyed.states import Heartbeat, StateDuration
from dataflow.steps.keyed.timeline import Timeline, Track
from dataflow.steps.keyed.transitions import Transitions
from dataflow.steps.keyed.windows import Window
from dataflow.steps.order import Limit, Sort
from dataflow.steps.rows import ColumnStep, Filter, Held, Select, WithColumns
from dataflow.steps.source import Source
from dataflow.steps.union import Streams, Union

__all__ = [
    "Cohorts", "ColumnStep", "Concurrent", "During", "Filter", "Funnel", "GroupBy", "Heartbeat", "Held", "Join",
    "JoinAsof", "Limit", "Select", "Sessionize", "Sort", "Source", "StateDuration", "Streams", "Timeline", "Track",
    "Transitions", "Union", "Window", "WithColumns",
]  # fmt: skip
