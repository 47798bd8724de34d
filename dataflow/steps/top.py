"""``top``: the rows with the greatest values, of each part of a table."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.beside_rows import BesideRows
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import in_words
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import column_text, columns_text
from dataflow.json import fields as json
from dataflow.plan.table_functions import FirstRows, RowOrder, listed_order
from dataflow.steps.base import TABLE, Bound, Step


@dataclass(frozen=True, eq=False)
class Top(Step, op="top"):
    """Of the rows with equal values of ``per``, the ``n`` with the greatest value of ``by``, the greatest first."""

    n: int = json.whole(1, 2**31 - 1)
    by: Expr = json.expression()
    per: tuple[Expr, ...] = json.expressions(0, 100, ())
    descending: bool = json.truth(True)

    makes = TABLE
    takes_table = True

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        rows = BesideRows.of(b, shape)
        by, *per = rows.names_of([self.by, *self.per])
        text = listed_order([in_words(e) for e in self.per], [(in_words(self.by), self.descending)])
        among = RowOrder(tuple(per), ((by, self.descending),), text)
        return Bound(rows.hide(shape), after=[*rows.steps, FirstRows(self.n, among)])

    def calls(self) -> list[str]:
        """See Step."""
        per = [f"per={columns_text(self.per)}"] if self.per else []
        others = given({"descending": (self.descending, True)})
        return [call("top", [str(self.n), f"by={column_text(self.by)}", *per, *others])]
