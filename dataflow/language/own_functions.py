"""``df.scan``: the user's own running functions over the rows of a key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from dataflow.expressions.expr import Expr, Operand, col, expr
from dataflow.expressions.scan_calls import scan_call
from dataflow.values.constants import plain

if TYPE_CHECKING:
    from operators.types import Type

__all__ = ["scan", "scanned"]


def scan(
    name: str,
    step: Callable[..., Any],
    init: float | Sequence[float],
    *,
    arguments: Sequence[Type] | None = None,
    result: Type | None = None,
) -> Callable[..., Expr]:
    """Register a running function of a key's rows under ``name``; returns the function that uses it in expressions.

    For each row of a key, in order, ``step(*state, *values)`` takes the key's state and the row's values, and returns
    ``(*state, result)``: the state for the next row, and this row's result. It is compiled into the query's kernel:
    plain arithmetic on numbers, without exceptions. ``init`` is the state before the key's first row, one number or
    several; those with a decimal point are floats, others integers of 64 bits, which wrap around.

    The values and the result are floats, unless ``arguments`` and ``result`` give their types: ``df.Type.BOOL``,
    ``INT``, ``FLOAT``, ``TIME`` or ``DURATION`` (microseconds). A row that does not report all values leaves the state
    as it is, and its result is null; so is a result that is no finite number. Like ``cumulative_sum`` a scan sees the
    rows that reach it, those before the range too.

    A metric's JSON contains the name only: every process that runs the metric must have registered the scan, such as a
    worker that has loaded the same metric file. RegistrationError for a wrong declaration.
    """
    from operators import scans
    from operators.types import Type

    first = init if isinstance(init, Sequence) else (init,)
    state = tuple(plain(v) for v in first)
    many = max(0, scans.numbers_taken(step) - len(state))
    kinds = (Type.FLOAT,) * many if arguments is None else tuple(arguments)
    scans.register_scan(scans.RegisteredScan(name, step, state, kinds, Type.FLOAT if result is None else result))

    def use(*values: Operand) -> Expr:
        return scanned(name, *values)

    use.__name__ = use.__qualname__ = name
    use.__doc__ = f"The registered scan {name!r}."
    return use


def scanned(name: str, *values: Operand) -> Expr:
    """The registered scan ``name`` of ``values``."""
    return scan_call(name, [col(v) if isinstance(v, str) else expr(v) for v in values])
