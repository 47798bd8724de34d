"""What a plan needs of the rows before a time: for some plans, a few rows of each key tell as much as all of them.

The first stage must need of a row before the range only what ``Sink.memory`` says and what its own functions of
earlier rows remember: last values that are not null. If another stage looks back at its intervals, it must remember no
more than that of them. All rows of a key must reach what remembers them, or all that report what is remembered, or
none: other filters choose among the reports.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from dataflow.expressions.functions import STATEFUL
from dataflow.plan.sink import Sink
from dataflow.plan.stages import Stage
from dataflow.typed.clock import CLOCK_PARTS
from dataflow.typed.hidden_columns import EARLY
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import AsOf, Keep, Merge, NullTally, RowOp, nested
from operators.types import Type

_STRICT = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "between", "not", "is_in", "starts_with", "contains"})
"""Functions that return null exactly where an argument is null."""

_STILL = _STRICT | {
    "lit",
    "slot",
    "and",
    "or",
    "is_null",
    "is_not_null",
    "fill_null",
    "when",
    "lookup",
    "pick",
    "answer_row",
}
"""Functions that cannot fail, of their arguments (and the key) alone."""

_HARMLESS = _STILL | {
    "in",
    "time",
    "end",
    "truncate",
    *CLOCK_PARTS,
    "last",
    "changed",
    "before",
    "elapsed",
    "track",
}
"""Functions that cannot fail. Others may overflow in rows that a query with fewer rows does not see."""

_VALUES, _TIMES = frozenset({"last", "changed", "before", "increase"}), frozenset({"elapsed"})
"""Functions that remember the last value of their argument that is not null, or when that was."""


class Dependence(Enum):
    """What the last value of an expression that is not null depends on.

    ``CONSTANT``: it is the same in all rows of a key. ``REPORTED``: on one column, and the value is null in rows that
    do not report it. ``LAST``: on last reported values without a hold; after the first value, every row has one.
    ``FADING``: on those of one column, some with a hold.
    """

    CONSTANT = auto()
    REPORTED = auto()
    LAST = auto()
    FADING = auto()


@dataclass(frozen=True)
class Carried:
    """The fields of the same names in ``Plan``."""

    carried: tuple[str, ...] | None
    plain: tuple[str, ...] = ()


def carried_of(chain: Sequence[Stage], whole: int) -> Carried:
    """See ``Plan.carried``."""
    looks = [j for j, s in enumerate(chain) if EARLY in dict(s.inputs)]
    needs = _Needs()
    if looks != [whole] * bool(whole) or not _only_last_values(chain[0], needs):
        return Carried(None)
    if whole and not _only_last_intervals(chain[: whole + 1]):
        return Carried(None)
    return Carried(tuple(sorted(needs.columns)), tuple(sorted(needs.plain)))


def carried_of_input(chain: Sequence[Stage], number: int) -> tuple[set[str], set[str]] | None:
    """See ``Input.carried`` and ``Input.as_is``, with the names of merged rows: None unless the rows of an input are
    only joined to others as of their time."""
    joins = [op for op in nested(chain[0].ops) if isinstance(op, AsOf) and number in op.branch.inputs]
    columns: set[str] = set()
    as_is: set[str] = set()
    for op in joins:
        needs, values = _Needs(), [v for v in op.branch.values if v is not None]
        if op.branch.inputs != (number,) or not needs.pass_all(op.branch.ops):
            return None
        if not needs.sees_rows or not needs.remember(n for v in values for n in v.walk() if n.fn in STATEFUL):
            return None
        if not all(_all_harmless(v) and (needs.sees_all or needs.sees(v)) for v in values):
            return None
        # A filter leaves rows in which its column is not null.
        as_is |= {name for v in values for name in _read_as_is(v)} - (set() if needs.sees_all else needs.columns)
        columns |= needs.columns | {name for v in values for name in columns_of(v)}
    return (columns, as_is) if joins else None


def _read_as_is(e: Typed) -> set[str]:
    """The columns of which an expression reads a row's own value."""
    if e.fn == "in":
        return {str(e.option("name"))}
    return set() if e.fn in STATEFUL else {name for a in e.args for name in _read_as_is(a)}


def _only_last_values(stage: Stage, needs: _Needs) -> bool:
    """Whether a stage that takes points needs only last values of those before the range."""
    sink, memory = stage.sink, stage.sink.memory()
    if memory is None or not needs.pass_all((*stage.ops, *sink.row_operations())):
        return False
    kept = (*memory.reports, *memory.values)
    # What a sink computes before the range, besides what it remembers and what its operations compute.
    if any(e.type is Type.FLOAT or not _all_harmless(e) for e in memory.computed):
        return False
    if not needs.remember(n for e in sink.expressions() for n in e.walk() if n.fn in STATEFUL):
        return False
    for e in kept:
        kind = needs.kind(e)
        if kind is None or not needs.sees(e) or (kind is Dependence.FADING and e in memory.reports):
            return False
        needs.columns |= columns_of(e)
        if memory.first_of_equal and e.type is Type.FLOAT:
            needs.plain |= columns_of(e)
    return needs.sees_rows or not memory.rows


def _only_last_intervals(chain: Sequence[Stage]) -> bool:
    """Whether the last of these stages, which looks back at the intervals of the first, perhaps in pieces, needs only
    the last values in their columns.

    Its times are not those of the interval before the range, of which the beginning may not be known.
    """
    before, last = chain[0].sink, chain[-1]
    kinds = _kinds_of_intervals(before)
    if kinds is None or last.sink.follows_keys or last.sink.looks_back(False) != 0:
        return False
    for stage in chain[1:-1]:
        passed = stage.sink.passed_on()
        needs = _Needs(kinds)
        if passed is None or not needs.pass_all(stage.ops) or not needs.sees_all:
            return False
        found = {name: needs.kind(e) for name, e in passed}
        kinds = {name: kind for name, kind in found.items() if kind is not None}
    needs = _Needs(kinds)
    sites = [n for e in last.sink.expressions() for n in e.walk() if n.fn in STATEFUL]
    return needs.pass_all(last.ops) and needs.remember(sites) and not needs.timed and not needs.plain


def _kinds_of_intervals(sink: Sink) -> dict[str, Dependence] | None:
    """The columns of a sink's intervals whose last values depend only on last values of points; None if it writes no
    intervals."""
    if sink.timeline_columns is None:
        return None
    held, state = sink.timeline_columns
    kinds = dict.fromkeys(held, Dependence.LAST)
    lasting = sink.lasting()
    if lasting is not None:
        # A report of a state lasts until the next, or is followed by nulls; a heartbeat by false.
        kinds[state] = Dependence.LAST if lasting.state is None else Dependence.REPORTED
    return kinds


class _Needs:
    """The columns of which last values are needed (``plain``: see ``Plan``), as operations are gone through.

    ``kinds`` are those of the columns, if they are not those of points.
    """

    def __init__(self, kinds: Mapping[str, Dependence] | None = None) -> None:
        self.columns: set[str] = set()
        self.plain: set[str] = set()
        self.timed = False
        self._kinds = kinds
        self._known: set[int] = set()
        self._only: set[str] = set()
        self._chosen = False

    @property
    def sees_all(self) -> bool:
        """Whether all rows of a key pass, or none."""
        return not self._chosen and not self._only

    @property
    def sees_rows(self) -> bool:
        """Whether each key's last row that passes is among its rows with last values."""
        return not self._chosen and len(self._only) <= 1

    def sees(self, e: Typed) -> bool:
        """Whether all rows of a key come here that report something to ``e``, or none."""
        return self.sees_all or (self.sees_rows and columns_of(e) <= self._only)

    def kind(self, e: Typed) -> Dependence | None:
        """Its kind; None if the last value may depend on more than last values of columns."""
        return kind_of(e, self._kinds)

    def pass_all(self, ops: Iterable[RowOp]) -> bool:
        """Whether these need only last values."""
        for op in ops:
            if isinstance(op, NullTally):
                continue
            if isinstance(op, Merge | AsOf):
                return False
            e = op.condition if isinstance(op, Keep) else op.value
            if not _all_harmless(e) or not self.remember(n for n in e.walk() if n.fn in STATEFUL):
                return False
            if not isinstance(op, Keep) or self.kind(e) is Dependence.CONSTANT:
                continue
            if e.fn == "is_not_null" and e.args[0].fn == "in" and self.kind(e.args[0]) is not None:
                self._only |= columns_of(e)
                self.columns |= columns_of(e)
            else:
                self._chosen = True
        return True

    def remember(self, sites: Iterable[Typed]) -> bool:
        """Whether these functions of earlier rows remember only last values of their argument."""
        for n in sites:
            if n.site in self._known:
                continue
            self._known.add(n.site)
            kind = self.kind(n.args[0])
            timed = n.fn in _TIMES or n.option("hold") is not None
            if n.fn not in _VALUES | _TIMES or len(n.args) > 1 or kind is None or not self.sees(n):
                return False
            if timed and kind is Dependence.FADING:
                return False
            self.timed |= timed
            self.columns |= columns_of(n)
            if n.fn == "increase" and n.type is not Type.FLOAT:
                self.plain |= columns_of(n)
        return True


def _all_harmless(e: Typed) -> bool:
    """Whether it cannot fail, for plain values."""
    return all(n.fn in _HARMLESS or n.fn == "increase" or n.type is Type.FLOAT or _is_duration(n) for n in e.walk())


def _is_duration(n: Typed) -> bool:
    return n.fn == "sub" and [a.fn for a in n.args] == ["end", "time"]


def columns_of(e: Typed) -> set[str]:
    """The input columns that an expression reads."""
    return {str(n.option("name")) for n in e.walk() if n.fn == "in"}


def _is_still(n: Typed) -> bool:
    """Whether a node depends on its arguments and the key alone: a table whose rows are valid for a time is not."""
    return n.fn in _STILL and (n.fn != "lookup" or not getattr(n.option("in"), "timed", True))


def kind_of(e: Typed, kinds: Mapping[str, Dependence] | None = None) -> Dependence | None:
    """What the last value of ``e`` that is not null depends on; None if it may be more than last values of columns.

    ``kinds`` are those of the columns; by default, each is reported by some rows.
    """
    if e.fn == "in":
        return Dependence.REPORTED if kinds is None else kinds.get(str(e.option("name")))
    if any(n.fn == "lit" and n.option("value") is None for n in (e, *e.args)):
        return None
    if all(map(_is_still, e.walk())):
        return Dependence.CONSTANT
    each = [kind_of(a, kinds) for a in e.args]
    varying = set(each) - {Dependence.CONSTANT}
    if None in varying or not varying:
        return None
    alone = len(columns_of(e)) == 1
    if e.fn == "last" and len(e.args) == 1:
        return Dependence.LAST if e.option("hold") is None else Dependence.FADING if alone else None
    if e.fn in ("and", "or"):
        # One argument may decide while the other is unknown, unless all are unknown in the same rows.
        alike = alone and len(varying) == 1 and Dependence.CONSTANT not in each and Dependence.FADING not in varying
        return varying.pop() if alike else None
    if e.fn not in _STRICT:
        return None
    if varying == {Dependence.LAST}:
        return Dependence.LAST
    return None if not alone else Dependence.REPORTED if Dependence.REPORTED in varying else Dependence.FADING
