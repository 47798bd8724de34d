"""The parts of a kernel's source: lines, arguments and tables of constants."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from dataflow.tables.answer_tables import AnswerIndex
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Index
from dataflow.typed.nodes import Typed
from operators.types import Type

Looked: TypeAlias = Index | Calendar | AnswerIndex
"""What rows are looked up in."""

I8, F8, U1, I4 = "i8[::1]", "f8[::1]", "u1[::1]", "i4[::1]"

BEGIN, RUNS, SINCE, UNTIL, OUT_CAPACITY, OUT_ROWS, OUT_RUNS, PIECE, VIEW, TIME_MASK, BRIDGE_MASK, FIXED = range(12)
"""Indices in the scalars ``s``: where to start, the number of runs (or slots), the range, the output's capacity and
fill, the piece of an interval to resume with and its view, the masks of the times and of the bridges, and where the
kernel's own scalars begin."""

NO_PIECE = -(2**63)


class Codes(str):
    """The array type of string codes: ``I8`` in a kernel. Codes in a restored state are checked."""

    __slots__ = ()


def value_array(kind: Type | None) -> str:
    """The array type that holds values of a logical type in states and outputs."""
    if kind is not None and kind.is_text:
        return Codes(I8)
    return F8 if kind is Type.FLOAT else I8


def both(*validities: str) -> str:
    """The conjunction of validities."""
    parts = list(dict.fromkeys(v for v in validities if v != "True"))
    if "False" in parts:
        return "False"
    return " and ".join(parts) if parts else "True"


def column_array(kind: Type) -> str:
    """The array type of an input column."""
    return {Type.FLOAT: F8, Type.BOOL: U1, Type.STRING: I4, Type.JSON: I4}.get(kind, I8)


@dataclass(frozen=True)
class Arg:
    """One argument of a kernel: its name, its array type, and its value as a role and a subject.

    Roles: scalars, floats, flags, tally, run_slot, run_len, time, bridged; column / valid (subject: column name);
    slot_key, slot_hash; lost_times (the number of times outside of the calendar years); lut, word, word_valid,
    joined, joined_valid, listed, edges, changes, offsets (number of the table); slot (per-key state, subject: name
    and, if a key has more than one, how many); out / out_valid (column name), out_time, out_slot, out_len, out_gid;
    group_words, group_keys, group_slots, group_used; state (aggregate number, part, name:
    ``operators.states.aggregate_states.AggregateStates.argument``); word_hash; free, free_count; pairs
    (name, part of ``operators.states.pairs.Pairs``).
    """

    name: str
    kind: str
    role: str
    subject: tuple[object, ...] = ()


@dataclass(frozen=True)
class Site:
    """An expression that can fail: its text, with the aggregate if it is an argument of only one, and whether it is the
    number of a histogram's bin."""

    text: str
    is_bin: bool = False
    cast: str = ""
    """The type of a cast."""


@dataclass(frozen=True)
class TextFunction:
    """A function of one text: its options, the type of its values, and the level (``dataflow.typed.text_trees``) of the
    words that it is applied to."""

    function: str
    options: tuple[tuple[str, object], ...]
    kind: Type
    level: int


@dataclass(frozen=True)
class PairUse:
    """How a kernel uses one table of pairs.

    A row adds at most ``most`` pairs; the kernel finds room for those of a whole batch, or ``stops`` where there is not
    room for so many. ``last_times``: the state with the times of the keys' last rows, if a pair is of no more use once
    its key has a row later than the pair's number.
    """

    most: int = 1
    stops: bool = False
    last_times: str = ""


@dataclass
class Tables:
    """The constants of a kernel, in the order in which its source refers to them."""

    masks: list[tuple[str, str]] = field(default_factory=list)
    """(column, 'value' or 'valid'): 0 where the array has one entry for all rows, else -1."""

    ints: list[int | str] = field(default_factory=list)
    """Integer constants; a string stands for its code."""

    floats: list[float] = field(default_factory=list)
    luts: list[tuple[str, object]] = field(default_factory=list)
    """Predicates on strings, (name, operand), as tables by code."""

    words: list[TextFunction] = field(default_factory=list)
    """Functions of texts, as tables by code, each after those that its words come from."""

    joined: list[Typed] = field(default_factory=list)
    """Texts made of two, worked out per row before the kernel runs."""

    listed: list[tuple[object, ...]] = field(default_factory=list)
    buckets: list[tuple[str, str, int]] = field(default_factory=list)
    """(every, zone, buckets beyond the years) of each truncation; each takes two scalars, width and origin."""

    zones: list[str] = field(default_factory=list)
    sites: list[Site] = field(default_factory=list)
    """Each expression that can fail."""

    lookups: list[Looked] = field(default_factory=list)
    pairs: dict[str, PairUse] = field(default_factory=dict)
    picks: list[tuple[int, str]] = field(default_factory=list)
    """(lookup, column) of reference tables."""


class SourceWriter:
    """Collects lines and arguments of one function."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.lines: list[str] = []
        self.args: dict[str, Arg] = {}
        self.depth = 1
        self._names = 0

    def put(self, text: str) -> None:
        """One or more lines at the current depth."""
        for line in text.splitlines():
            self.lines.append("    " * self.depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """An indented block under ``head``."""
        self.put(head)
        self.depth += 1
        yield
        self.depth -= 1

    def fresh(self, prefix: str = "x") -> str:
        """A new local name."""
        self._names += 1
        return f"{prefix}{self._names}"

    def arg(self, name: str, kind: str, role: str, *subject: object) -> str:
        """Declare an argument (once) and return its name."""
        self.args.setdefault(name, Arg(name, kind, role, subject))
        return name

    def pairs(self, name: str, use: PairUse) -> str:
        """Declare a table of pairs; returns the last arguments of ``find_group``."""
        self.tables.pairs[name] = use
        kinds = {"words": I8, "keys": "i8[:,::1]", "slots": I4, "used": I8, "numbers": I8}
        for part, kind in kinds.items():
            self.arg(f"{name}_{part}", kind, "pairs", name, part)
        return f"{name}_words, np.int64(2), {name}_keys, {name}_slots, {name}_used"

    def function(self, name: str) -> str:
        """The whole function."""
        head = f"def {name}({', '.join(self.args)}):"
        return "\n".join([head, *self.lines]) + "\n"


def clock_locals(buckets: int, zones: int) -> list[str]:
    """Lines that declare locals that outlive a row: the last bucket and offset found, and the times they apply to."""
    kinds = [("start", "from", "to")] * buckets, [("offset", "from_offset", "to_offset")] * zones
    return [f"{name}_{j} = np.int64(0)" for kind in kinds for j, names in enumerate(kind) for name in names]
