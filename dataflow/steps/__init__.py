"""The steps of metrics: each file holds all that is specific to its steps."""

from dataflow.steps.concurrent import Concurrent
from dataflow.steps.dedupe import Dedupe
from dataflow.steps.during import During
from dataflow.steps.groups import GroupBy
from dataflow.steps.join import Join
from dataflow.steps.keyed.activity import Activity
from dataflow.steps.keyed.cohorts import Cohorts
from dataflow.steps.keyed.funnel import Funnel
from dataflow.steps.keyed.match import Match
from dataflow.steps.keyed.sequence import ValueSequence
from dataflow.steps.keyed.sessions import Sessionize
from dataflow.steps.keyed.states import Heartbeat, StateDuration
from dataflow.steps.keyed.subpaths import Subpaths
from dataflow.steps.keyed.timeline import Timeline, Track
from dataflow.steps.keyed.transitions import Transitions
from dataflow.steps.keyed.windows import Window
from dataflow.steps.order import Limit, Sort
from dataflow.steps.rows import ColumnStep, Filter, Held, Select, WithColumns
from dataflow.steps.source import Source

__all__ = [
    "Activity", "Cohorts", "ColumnStep", "Concurrent", "Dedupe", "During", "Filter", "Funnel", "GroupBy", "Heartbeat",
    "Held", "Join", "Limit", "Match", "Select", "Sessionize", "Sort", "Source", "StateDuration", "Subpaths", "Timeline",
    "Track", "Transitions", "ValueSequence", "Window", "WithColumns",
]  # fmt: skip
