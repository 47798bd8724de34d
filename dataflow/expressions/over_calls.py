"""The node ``over``: a function of other rows of the same table, like an aggregate of the rows of one site.

Its options, besides the arguments of a function that is no aggregate:

| option | meaning |
|---|---|
| ``of`` | an ``Agg``, or the name of a function of ``ROW_FUNCTIONS`` |
| ``n`` | how many rows away, or how many parts; None if the function takes no number |
| ``per`` | expressions: only rows with equal values of all of them count |
| ``order`` | expressions that order these rows; empty: the order does not matter |
| ``descending`` | whether it descends, for each of them; of a rank, for its argument |
| ``rows`` | an aggregate sees so many rows that end with this one; None: all up to this one, if there is an order |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias, TypeVar

from dataflow.expressions.node import Node
from dataflow.expressions.whole_options import whole_option
from dataflow.values.mistaken import listed_values, shown, without_call
from operators.errors import DataflowError
from operators.nearest import meant

N = TypeVar("N", bound=Node)

Columns: TypeAlias = str | Node | Sequence[str | Node] | None
"""Columns of a table: a name, an expression, or a list of them."""

Descending: TypeAlias = bool | Sequence[bool]
"""Whether an order descends, in all columns or in each."""

RANKS = ("rank", "dense_rank", "ntile")
"""The functions of a row's place in the order of their argument."""

RUNNING = {"cumulative_sum": "sum", "cumulative_max": "max", "cumulative_min": "min"}
"""The functions that are aggregates of the rows up to one, and these."""

ORDERED = ("previous", "next", "row_number", *RUNNING)
"""The functions that need an order."""

ROW_FUNCTIONS = ("share", *RANKS, *ORDERED)

NUMBERED = ("ntile", "previous", "next")
"""Those that take a number."""


def columns_of(given: Columns, where: str, kind: type[N]) -> tuple[N, ...]:
    """A name, an expression (of class ``kind``) or a list of them as expressions; DataflowError naming ``where`` for
    anything else."""
    if given is None:
        return ()
    wanted = f"{where} takes names of columns and expressions"
    listed = [given] if isinstance(given, str | Node) else listed_values(given, wanted)
    out: list[N] = []
    for c in listed:
        if isinstance(c, str) and c:
            out.append(kind("col", (), (("name", str.__str__(c)),)))
        elif isinstance(c, kind) and c.fn not in ("lit", "param"):
            out.append(c)
        else:
            raise DataflowError(without_call(c) or f"{wanted}, got {shown(c)}")
    return tuple(out)


def directions(given: Descending, n: int, where: str) -> tuple[bool, ...]:
    """One flag for each of ``n`` columns; DataflowError naming ``where`` for another number."""
    wanted = f"{where}: descending is True, False or a list of them"
    flags = [given] * n if isinstance(given, bool) else listed_values(given, wanted)
    if wrong := [f for f in flags if not isinstance(f, bool)]:
        raise DataflowError(f"{wanted}, got {shown(wrong[0])}")
    if len(flags) != n:
        raise DataflowError(f"{where}: descending has {len(flags)} flags for {n} columns of order=")
    return tuple(flags)


def ordered(
    per: Columns,
    order: Columns,
    descending: Descending,
    where: str,
    kind: type[N],
    rows: int | None = None,
) -> dict[str, object]:
    """The options of an ``over`` with this order; DataflowError naming ``where`` for wrong ones."""
    by = columns_of(order, f"{where}: order=", kind)
    if not by and (descending is not False or rows is not None):
        name = "descending=" if rows is None else "rows="
        raise DataflowError(f"{where}: {name} needs order=, the columns that order the rows")
    flags = directions(descending, len(by), where) if by else ()
    return {
        "per": columns_of(per, f"{where}: per=", kind),
        "order": by,
        "descending": flags,
        "rows": None if rows is None else counted(rows, f"{where}: rows="),
    }


def over_options(of: object, **given: object) -> tuple[tuple[str, object], ...]:
    """The options of the node, in their order; those that are not given are empty."""
    usual: dict[str, object] = {"n": None, "per": (), "order": (), "descending": (), "rows": None}
    return (("of", of), *((name, given.get(name, value)) for name, value in usual.items()))


def in_order(
    of: str,
    order: Columns,
    per: Columns,
    descending: Descending,
    kind: type[N],
    n: int | None = None,
) -> dict[str, object]:
    """The options of function ``of``, which needs an order."""
    if order is None:
        raise DataflowError(
            f"{of} needs order=, the columns that order the rows of a finished table (so do per= and descending=); "
            "the rows of a key are in the order of time, and within= begins anew"
        )
    return dict(over_options(of, **{**ordered(per, order, descending, of, kind), "n": n}))


def what_is_wrong(args: Sequence[Node], options: Mapping[str, object]) -> str | None:
    """What is wrong with a node that was read with these options; None for a node that the DSL makes."""
    of, n, order, flags, rows = (options[name] for name in ("of", "n", "order", "descending", "rows"))
    assert isinstance(order, tuple)
    assert isinstance(flags, tuple)
    is_named = isinstance(of, str)
    if is_named and of not in ROW_FUNCTIONS:
        return f"unknown function {of!r}; {meant(of, ROW_FUNCTIONS, 'known')} are {', '.join(ROW_FUNCTIONS)}"
    if len(args) != is_named:
        return "a function takes one argument" if is_named else "an aggregate has its own arguments"
    if is_named and (of in ORDERED) != bool(order):
        return f"{of} needs an order" if not order else f"{of} takes no order"
    if not all(isinstance(f, bool) for f in flags) or len(flags) != (1 if of in RANKS else len(order)):
        return "descending takes true or false for each column of the order"
    if rows is not None and (is_named or not order):
        return "rows is for an aggregate with an order"
    if (of in NUMBERED) != (n is not None):
        return f"{'a number is missing' if n is None else 'no number is taken'}: n"
    given = [(name, value) for name, value in (("n", n), ("rows", rows)) if value is not None]
    for name, value in given:
        try:
            whole_option("over", name, value, name)
        except DataflowError as error:
            return str(error)
    return None


def counted(n: object, where: str) -> int:
    """A number of rows or parts; DataflowError naming ``where`` for anything else."""
    number: int = whole_option("over", "n", n, where)
    return number
