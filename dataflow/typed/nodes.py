"""Typed expressions, from which kernels are generated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from operators.types import Type


@dataclass(frozen=True)
class Typed:
    """One node of a typed expression.

    ``fn`` is a function of ``dataflow.expressions.functions``, or ``in`` (an input column, option ``name``), ``time``
    and ``end`` (of the row), ``slot`` (the key's value), or ``lit``. ``type`` None is the null constant. ``site``
    numbers nodes that are computed once, at their step: those that remember earlier rows, and columns that are fixed
    before intervals are cut.
    """

    fn: str
    type: Type | None
    args: tuple[Typed, ...] = ()
    options: tuple[tuple[str, object], ...] = ()
    site: int = field(default=-1)

    def option(self, name: str) -> object:
        """The value of one option; None if absent."""
        return dict(self.options).get(name)

    def walk(self) -> Iterator[Typed]:
        """This node and all nodes below it."""
        yield self
        for a in self.args:
            yield from a.walk()


def column_name(e: Typed) -> str:
    """The name of a column as users know it: of several streams, without the number of the input that it is of."""
    name = str(e.option("name"))
    number, dot, own = name.partition(".")
    return own if dot and number.startswith("$") and number[1:].isdecimal() else name


def column(name: str, kind: Type) -> Typed:
    """An input column."""
    return Typed("in", kind, (), (("name", name),))
