"""The rows before a step, as a stage of its own takes them and passes them on with more columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from dataflow.binding.typing import Expressions, Shape
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.sink import NamedTyped, Sink
from dataflow.plan.stages import Deferred, Stage
from dataflow.sinks.passed_rows import PassedRows
from dataflow.typed.hidden_columns import END, KNOWN
from dataflow.typed.nodes import Typed, column
from operators.types import Type

MakeSink: TypeAlias = Callable[[NamedTyped, set[str]], Sink]
"""From the columns that the stage passes on, and those needed after it, to its sink."""


class OwnStage:
    """The rows of ``shape`` for a stage whose sink computes with the expressions ``used``."""

    def __init__(self, b: Expressions, shape: Shape, used: Iterable[Typed]) -> None:
        found = {repr(t): t for t in used if t.fn != "lit"}
        # Without operations before it, the stage itself reads the columns.
        self._at_once = not shape.ops and not b.sources.several and all(t.fn == "in" for t in found.values())
        self._arguments = {} if self._at_once else {f"$of{next(b.sites)}": t for t in found.values()}
        self._names = {repr(t): n for n, t in self._arguments.items()}
        self._computed = {n: t for n, t in shape.env.items() if not _comes_with_row(t)}
        self._types = {n: t.type for n, t in self._computed.items() if t.type is not None}
        self._others = {n: t for n, t in shape.inputs.items() if n not in shape.env}
        self._shape, self._ops, self._where = shape, list(shape.ops), b.where
        self._points = shape.kind == "points"

    def named(self, e: Typed) -> Typed:
        """One of the expressions, as the stage computes it."""
        found = self._names.get(repr(e))
        return e if found is None else column(found, e.type or Type.BOOL)

    def stages(
        self, own: Mapping[str, Type], make: MakeSink, added: Mapping[str, Type] | None = None
    ) -> tuple[list[Deferred], Shape]:
        """The stages, and the rows after them with the columns ``own``; ``added`` are columns that its runner adds to
        what it takes."""

        def rows(needed: set[str]) -> Stage:
            columns = self._passed(needed) | {n: t for n, t in self._arguments.items() if n in needed}
            return stage_of_inputs(
                self._shape.inputs, self._ops, PassedRows(tuple(columns.items()), self._points), self._where
            )

        def stage(needed: set[str]) -> Stage:
            columns = self._passed(needed - own.keys())
            inputs = dict(self._shape.inputs)
            if not self._at_once:
                inputs = {n: t.type or Type.INT for n, t in (columns | self._arguments).items()}
                columns = {n: column(n, inputs[n]) for n in columns}
            return stage_of_inputs({**inputs, **(added or {})}, (), make(tuple(columns.items()), needed), self._where)

        kept = {n: column(n, self._types[n]) if n in self._types else t for n, t in self._shape.env.items()}
        after = replace(
            self._shape,
            env=kept | {n: column(n, t) for n, t in own.items()},
            inputs={**self._others, **self._types, **own},
            ops=[],
            counted=False,
        )
        return [*([] if self._at_once else [rows]), stage], after

    def _passed(self, needed: set[str]) -> dict[str, Typed]:
        """The columns that rows after the stage have, besides its own."""
        kept = needed | {END, KNOWN}
        return {n: column(n, t) for n, t in self._others.items() if n in kept} | {
            n: t for n, t in self._computed.items() if n in needed
        }


def _comes_with_row(e: Typed) -> bool:
    """Whether it is known from the row's key, time and end alone."""
    return all(n.fn in ("slot", "time", "end", "sub") for n in e.walk())
