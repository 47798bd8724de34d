"""The steps of metrics: each file holds all that is specific to its steps."""

from dataflow.steps.concurrent import Concurrent
from dataflow.steps.during import During
from dataflow.steps.filling import Fill
from dataflow.steps.groups import GroupBy
from dataflow.steps.join import Join
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
from dataflow.steps.windows_across import WindowAcross

__all__ = [
    "Cohorts", "ColumnStep", "Concurrent", "During", "Fill", "Filter", "Funnel", "GroupBy", "Heartbeat", "Held", "Join",
    "Limit", "Select", "Sessionize", "Sort", "Source", "StateDuration", "Timeline", "Track", "Transitions", "Window",
    "WindowAcross", "WithColumns",
]  # fmt: skip
