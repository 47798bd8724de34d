"""``union``: the rows of several streams, and the start of timelines of several streams.

Each part is a stream with row steps, which see only its own rows. A column that all parts read as it is stored needs no
operation; others are computed for the rows of each part (``Merge``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dataflow.binding.sources import Sources, StreamColumns
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader, check_distinct
from dataflow.steps.base import POINTS, Bound, InnerChain, Step, from_object, to_object
from dataflow.steps.source import points_of
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.hidden_columns import OVER
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Branch, Merge

MAX_STREAMS = 32
"""The maximum number of streams in one metric, each as often as it is named."""

Steps = tuple[Step, ...]


def steps_text(steps: Sequence[Step]) -> str:
    """The text of a chain of steps, on one line."""
    parts: list[str] = []
    for step in steps:
        parts = step.after(parts)
    return "".join(parts)


def steps_in(reader: Reader, value: Any, where: str) -> Steps:
    """The steps of a part: a stream, or a union, with row steps."""
    steps = tuple(from_object(reader, s, f"{where}[{i}]") for i, s in enumerate(reader.rows(value, where)))
    if not is_part(steps):
        raise JsonFormError(f"{where}: expected a stream with row steps")
    return steps


def is_part(steps: Sequence[Step]) -> bool:
    """Whether these are the rows of a stream, or of a union, with row steps."""
    return bool(steps) and steps[0].starts and all(s.in_unions for s in steps[1:])


def steps_out(steps: Steps) -> list[dict[str, Any]]:
    """The JSON form of a part."""
    return [to_object(s) for s in steps]


def _parts_in(reader: Reader, value: Any, where: str) -> tuple[Steps, ...]:
    items = reader.rows(value, where)
    if not 2 <= len(items) <= MAX_STREAMS:
        raise JsonFormError(f"{where}: expected 2 to {MAX_STREAMS} parts, got {len(items)}")
    return tuple(steps_in(reader, item, f"{where}[{i}]") for i, item in enumerate(items))


def _names_in(reader: Reader, value: Any, where: str) -> tuple[str, ...]:
    names = [reader.text(n, f"{where}[{i}]") for i, n in enumerate(reader.rows(value, where))]
    check_distinct(names, where)
    if not 2 <= len(names) <= MAX_STREAMS:
        raise JsonFormError(f"{where}: expected 2 to {MAX_STREAMS} streams, got {len(names)}")
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Union(Step, op="union"):
    """The rows of several parts, by key and time, at equal times in the order of the parts."""

    parts: tuple[Steps, ...] = json.field_of(lambda parts: [steps_out(p) for p in parts], _parts_in)

    makes = POINTS
    has_length = False
    starts = True

    @property
    def has_parts(self) -> bool:
        """See Step."""
        return any(len(part) > 1 or part[0].has_parts for part in self.parts)

    def streams(self) -> Iterator[str]:
        """See Step."""
        for part in self.parts:
            for step in part:
                yield from step.streams()

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for part in self.parts for step in part for table in step.tables()]

    def chains(self) -> tuple[InnerChain, ...]:
        """See Step."""
        return tuple(InnerChain(part, ()) for part in self.parts)

    def with_chains(self, chains: Sequence[Steps]) -> Step:
        """See Step."""
        return replace(self, parts=tuple(chains))

    def merge_order(self, first: int, before: Sequence[int]) -> list[int]:
        """See Step."""
        out = list(before)
        for part in self.parts:
            out += order_of_uses(part, first + len(out) - len(before))
        return out

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        return [f"df.union({', '.join(map(steps_text, self.parts))})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        where = b.where
        parts = [bound_part(b, steps) for steps in self.parts]
        b.where = where
        found, wrong = _united(b, parts)
        for text in wrong.values():
            raise b.fail(text)
        return Bound(found)


@dataclass(frozen=True, eq=False)
class Streams(Step, op="streams"):
    """All points of several streams, of which timelines are combined; each timeline names its own."""

    names: tuple[str, ...] = json.field_of(list, _names_in)

    makes = POINTS
    has_length = False
    starts = True

    def streams(self) -> Iterator[str]:
        """See Step."""
        yield from self.names

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        # As a start it only occurs before timelines, whose text names the streams.
        return [f"df.union({', '.join(f'df.stream({quoted(n)})' for n in self.names)})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        parts = []
        for name in self.names:
            taken = b.sources.take(name)
            parts.append(StreamPart(name, (taken.number,), taken.columns, points_of(taken, True)))
        found, wrong = _united(b, parts)
        return Bound(found if not wrong else _with_apart(found, wrong))


def _with_apart(shape: Shape, wrong: Mapping[str, str]) -> Shape:
    shape.apart = wrong
    return shape


@dataclass(frozen=True)
class StreamPart:
    """A bound part: its streams for messages, the numbers of its inputs, and its rows."""

    name: str
    inputs: tuple[int, ...]
    stream: StreamColumns
    shape: Shape

    def columns(self) -> dict[str, Typed]:
        """Its columns without the key and the time, and without hidden ones."""
        own = {self.stream.key: "slot", self.stream.time: "time"}
        return {n: t for n, t in self.shape.env.items() if own.get(n) != t.fn and not n.startswith(OVER)}


def bound_part(b: Expressions, steps: Sequence[Step]) -> StreamPart:
    """Bind the steps of a part of a union, or of the other rows of a join."""
    where, first = b.where, len(b.sources.taken)
    shape = Shape("points", {}, {})
    for step in steps:
        b.where = f"{where}, {step.method}"
        shape = step.bind(b, shape).shape
    b.where = where
    taken = b.sources.taken[first:]
    names = list(dict.fromkeys(t.name for t in taken))
    return StreamPart(" and ".join(names), tuple(t.number for t in taken), b.stream, shape)


def check_keys(b: Expressions, one: StreamPart, two: StreamPart) -> None:
    """GraphError if the keys of two parts have different types."""
    if one.stream.key_type is not two.stream.key_type:
        raise b.fail(
            f"the key of {one.name} ({one.stream.key!r}) is {one.stream.key_type}, that of {two.name} "
            f"({two.stream.key!r}) is {two.stream.key_type}: ingest one of them with the other's type of key"
        )


def _united(b: Expressions, parts: Sequence[StreamPart]) -> tuple[Shape, dict[str, str]]:
    """The rows of all parts; and the columns that cannot be among theirs, with the reason."""
    first = parts[0]
    for part in parts[1:]:
        check_keys(b, first, part)
    key, time = first.stream.key, first.stream.time
    columns: dict[str, list[Typed | None]] = {}
    wrong: dict[str, str] = {}
    of: dict[str, StreamPart] = {}
    for i, part in enumerate(parts):
        for name, found in part.columns().items():
            if name in (key, time) and i:
                what = "key" if name == key else "time"
                wrong[name] = (
                    f"{name!r} is the {what} of {first.name} and a column of {part.name}: rename that with select"
                )
                continue
            one = of.setdefault(name, part)
            mine = one.columns()[name]
            if mine.type is not found.type:
                wrong[name] = (
                    f"the column {name!r} is {mine.type} in {one.name} and {found.type} in {part.name}: give both one "
                    "type, or another name, with with_columns or select"
                )
            columns.setdefault(name, [None] * len(parts))[i] = found
    for name in wrong:
        columns.pop(name, None)
    plain = {name: _as_stored(b.sources, parts, each) for name, each in columns.items()}
    stored = {name: found for name, found in plain.items() if found is not None}
    computed = {
        name: Typed("merged", next(t.type for t in each if t is not None), (), (("name", name),), next(b.sites))
        for name, each in columns.items()
        if name not in stored
    }
    inputs = {n: kind for part in parts for n, kind in part.shape.inputs.items()}
    env: dict[str, Typed] = {}
    for part in parts:
        for name, typed in part.shape.env.items():
            if name in columns:
                env.setdefault(name, stored.get(name) or computed[name])
            elif part is first and name in (key, time):
                env[name] = typed
    shape = Shape("points", env, inputs)
    shape.filtered = next((p.shape.filtered for p in parts if p.shape.filtered), "")
    if computed or any(p.shape.ops for p in parts):
        branches = tuple(
            Branch(p.inputs, tuple(p.shape.ops), tuple(columns[name][i] for name in computed))
            for i, p in enumerate(parts)
        )
        shape.ops.append(Merge(branches, tuple(computed.values())))
    b.stream = StreamColumns(key, first.stream.key_type, time, {})
    return shape, wrong


def _as_stored(sources: Sources, parts: Sequence[StreamPart], each: Sequence[Typed | None]) -> Typed | None:
    """The stored column that a column is in all parts, null where a part does not have it; None if there is none."""
    found = {repr(t): t for t in each if t is not None}
    one = next(iter(found.values()))
    if len(found) > 1 or any(n.fn not in ("in", "in_years") for n in one.walk()):
        return None
    name = next(str(n.option("name")) for n in one.walk() if n.fn == "in")
    others = [number for p, t in zip(parts, each, strict=True) if t is None for number in p.inputs]
    # Inputs that share a column of the merged rows have it with this type.
    return one if all(sources.lacks(number, name) for number in others) else None


def order_of_uses(steps: Sequence[Step], first: int = 0) -> list[int]:
    """The numbers of the uses of streams in these steps, from ``first`` in the order of the text, in merging order."""
    out: list[int] = []
    for step in steps:
        out = step.merge_order(first, out)
    return out
