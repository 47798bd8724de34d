"""The steps of metrics, each in a file with all that is particular to it (README.md says how to add one)."""

from dataflow.steps.cohorts import Cohorts
from dataflow.steps.concurrent import Concurrent
from dataflow.steps.during import During
from dataflow.steps.funnel import Funnel
from dataflow.steps.groups import GroupBy
from dataflow.steps.join import Join
from dataflow.steps.order import Limit, Sort
from dataflow.steps.rows import ColumnStep, Filter, Held, Select, WithColumns
from dataflow.steps.sessions import Sessionize
from dataflow.steps.source import Source
from dataflow.steps.states import Heartbeat, StateDuration
from dataflow.steps.timeline import Timeline, Track
from dataflow.steps.transitions import Transitions
from dataflow.steps.windows import Window

__all__ = [
    "Cohorts", "ColumnStep", "Concurrent", "During", "Filter", "Funnel", "GroupBy", "Heartbeat", "Held", "Join",
    "Limit", "Select", "Sessionize", "Sort", "Source", "StateDuration", "Timeline", "Track", "Transitions", "Window",
    "WithColumns",
]  # fmt: skip
