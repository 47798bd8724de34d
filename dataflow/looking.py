"""How far before ``since`` the rows lie that the stages of a plan need.

Each stage may look back at rows before the range, by an expression (``last``, ``previous``) or by its sink (a state
that lasts, a session that goes on). Points before the range are read; rows that an earlier stage makes have to be made
there, too: that stage then also runs without regard to ``since`` (``Plan.whole``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dataflow.calendars import longest_bucket
from dataflow.flows import Climb, Flow, Moves, Periods
from dataflow.functions import STATEFUL
from dataflow.plan import EARLY, Pieces, Segments, Stage, States, Tracks
from dataflow.typed import Typed
from operators.types import Type

Reach = int | None
"""Microseconds before the range; None: everything."""

_DAY = 86_400_000_000

_ONCE = (Climb, Periods)
"""Sinks that say one thing of a key in the range, which has nothing before it."""


@dataclass(frozen=True)
class History:
    """What a chain of stages needs of the time before ``since``: see the fields of ``Plan`` of these names."""

    history: Reach
    held_columns: tuple[str, ...]
    whole: int
    looks: tuple[bool, ...]
    """Of each stage, whether it sees the rows before the range that the stage before it makes."""


def history_of(chain: Sequence[Stage]) -> History:
    """The needs of all stages, from the last to the first."""
    needed: Reach = 0
    whole, looks = 0, [False] * len(chain)
    for j in reversed(range(len(chain))):
        stage, first = chain[j], j == 0
        own = _sum(_remembers(stage), _sink_reach(stage, first))
        passed = 0 if needed == 0 else _sum(_remembers(stage), _writes_reach(stage, needed, first))
        needed = _longer(own, passed)
        if first:
            break
        if isinstance(chain[j - 1].sink, _ONCE):
            needed = 0
            continue
        looks[j] = own != 0
        if needed != 0:
            whole = max(whole, j)
    return History(needed, () if needed is None else _held(chain[0]), whole, tuple(looks))


def with_early_rows(chain: Sequence[Stage], looks: Sequence[bool]) -> tuple[Stage, ...]:
    """The stages, those that see rows before the range with the column that tells these from others."""
    return tuple(
        replace(s, inputs=(*s.inputs, (EARLY, Type.INT))) if sees else s for s, sees in zip(chain, looks, strict=True)
    )


def _sum(*parts: Reach) -> Reach:
    known = [p for p in parts if p is not None]
    return sum(known) if len(known) == len(parts) else None


def _longer(a: Reach, b: Reach) -> Reach:
    return None if a is None or b is None else max(a, b)


def _remembers(stage: Stage) -> Reach:
    """How far back the expressions look; one may look at a row because of what another saw before that."""
    sites: dict[int, Typed] = {}
    for e in stage.expressions():
        sites |= {n.site: n for n in e.walk() if n.fn in STATEFUL}
    holds = [n.option("hold") if n.fn == "last" else None for n in sites.values()]
    return _sum(*(h if isinstance(h, int) else None for h in holds))


def _sink_reach(stage: Stage, first: bool) -> Reach:
    """How far before the range the sink looks for the rows of the range."""
    sink = stage.sink
    if isinstance(sink, States | Tracks):
        return None
    if isinstance(sink, Segments) and (sink.empty or sink.max_length is not None):
        # From the key's first point on; from the start of the session.
        return None
    if isinstance(sink, Segments | Flow):
        if sink.held and not first:
            return None
        return sink.history if isinstance(sink, Flow) else sink.gap or (_extent(sink) if sink.size > 1 else 0)
    return 0


def _writes_reach(stage: Stage, needed: Reach, first: bool) -> Reach:
    """How far before the range the sink needs rows so that those are right which it writes ``needed`` before it."""
    sink = stage.sink
    if needed is None or isinstance(sink, States | Tracks | Pieces) or (isinstance(sink, Segments) and sink.empty):
        return None
    if isinstance(sink, Segments | Flow) and sink.held and not first:
        return None
    if isinstance(sink, Moves):
        return _sum(needed, sink.gap)
    if isinstance(sink, Segments):
        return None if sink.bucket is None else needed + _extent(sink)
    return needed


def _extent(sink: Segments) -> int:
    """What no window is longer than."""
    assert sink.bucket is not None
    shown = sink.size * (longest_bucket(str(sink.bucket.option("every"))) - _DAY)
    # By a day, and once more, clocks may have changed meanwhile; but not that of UTC.
    return shown if sink.bucket.option("zone") == "UTC" else shown + 2 * _DAY


def _held(stage: Stage) -> tuple[str, ...]:
    """The columns of the points that the first stage holds for its rows."""
    if not isinstance(stage.sink, Segments | Flow):
        return ()
    return tuple(sorted({str(n.option("name")) for _, t in stage.sink.held for n in t.walk() if n.fn == "in"}))
