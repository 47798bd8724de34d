"""The steps of metrics: each file holds all that is specific to its steps."""

from dataflow.steps.answers.beside_table import BesideTable
from dataflow.steps.answers.compare import Compare, ComparedAnswer
from dataflow.steps.answers.join_answer import JoinAnswer, JoinMetric
from dataflow.steps.answers.join_periods import JoinPeriods
from dataflow.steps.answers.key_by import KeyBy
from dataflow.steps.answers.side_by_side import BesideAnswer, SideBySide
from dataflow.steps.concurrent import Concurrent
from dataflow.steps.dedupe import Dedupe
from dataflow.steps.during import During
from dataflow.steps.filling import Fill
from dataflow.steps.funnels.funnel import Funnel
from dataflow.steps.funnels.funnel_table import FunnelTable
from dataflow.steps.groups import GroupBy
from dataflow.steps.join import Join
from dataflow.steps.join_asof import JoinAsof
from dataflow.steps.keyed.activity import Activity
from dataflow.steps.keyed.cohorts import Cohorts
from dataflow.steps.keyed.match import Match
from dataflow.steps.keyed.row_intervals import Intervals
from dataflow.steps.keyed.sequence import ValueSequence
from dataflow.steps.keyed.sessions import Sessionize
from dataflow.steps.keyed.states import Heartbeat, StateDuration
from dataflow.steps.keyed.subpaths import Subpaths
from dataflow.steps.keyed.timeline import Timeline, Track
from dataflow.steps.keyed.transitions import Transitions
from dataflow.steps.keyed.windows import Window
from dataflow.steps.order import Limit, Sort
from dataflow.steps.pivot import Pivot
from dataflow.steps.rows import ColumnStep, Filter, Held, Select, WithColumns
from dataflow.steps.source import Source
from dataflow.steps.top import Top
from dataflow.steps.union import Streams, Union
from dataflow.steps.windows_across import WindowAcross

__all__ = [
    "Activity", "BesideAnswer", "BesideTable", "Cohorts", "ColumnStep", "Compare", "ComparedAnswer",
    "Concurrent", "Dedupe", "During", "Fill", "Filter", "Funnel", "FunnelTable", "GroupBy", "Heartbeat", "Held",
    "Intervals", "Join", "JoinAnswer", "JoinAsof", "JoinMetric", "JoinPeriods", "KeyBy", "Limit", "Match",
    "Pivot", "Select", "Sessionize", "SideBySide", "Sort", "Source", "StateDuration", "Streams", "Subpaths",
    "Timeline", "Top", "Track", "Transitions", "Union", "ValueSequence", "Window", "WindowAcross",
    "WithColumns",
]  # fmt: skip
