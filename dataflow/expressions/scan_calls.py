"""Calls of registered scans, and the errors of wrong ones."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import CALL_TEXTS, Node, quoted
from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.nearest import meant
from operators.scans import RegisteredScan, find_scan, scan_names


def scan_call(name: str, values: Sequence[Expr]) -> Expr:
    """The registered scan ``name`` of ``values``; DataflowError if there is none, or it takes others."""
    taken = len(registered(name).arguments)
    if len(values) != taken:
        raise DataflowError(f"the scan {name} takes {taken} values, got {len(values)}")
    return Expr("scan", tuple(values), (("name", name),))


def registered(name: object) -> RegisteredScan:
    """The scan of this name; DataflowError if there is none."""
    found = find_scan(name)
    if found is None:
        raise DataflowError(
            f"there is no scan {shown(name)}; {meant(name, scan_names(), 'it')} must be registered first: "
            "df.scan(name, step, init), in a metric file that this process loads"
        )
    return found


def _text(e: Node) -> str:
    return f"df.scanned({', '.join([quoted(str(e.option('name'))), *map(column_or, e.args)])})"  # type: ignore[arg-type]


CALL_TEXTS["scan"] = _text
