"""Methods that look at other rows of a finished table."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.expressions.node import Node
from dataflow.expressions.over_calls import Columns, columns_of, counted, directions, over_options


class TableMethods(Methods):
    """Functions of a row's place among the rows of a finished table, as after ``agg(...)``."""

    def share(self, *per: str | Node) -> Self:
        """The value divided by the sum of all rows with equal values of ``per`` (without them, of all rows)."""
        return self._over("share", per=columns_of(per, "share", self._kind))

    def rank(self, per: Columns = None, descending: bool = False) -> Self:
        """The place of the value among those of the rows with equal values of ``per``: 1 for the least, or with
        ``descending`` the greatest. Equal values share a place, and the next one counts all of them: 1, 2, 2, 4. A null
        has no place: null."""
        return self._ranked("rank", per, descending)

    def dense_rank(self, per: Columns = None, descending: bool = False) -> Self:
        """The same without gaps after equal values: 1, 2, 2, 3."""
        return self._ranked("dense_rank", per, descending)

    def ntile(self, n: int, per: Columns = None, descending: bool = False) -> Self:
        """The part, 1 to ``n``, that the row falls in if the rows with equal values of ``per`` are ordered by the value
        and cut into ``n`` parts of equal size; the first parts have one row more if they cannot be equal. Equal values
        stay in the order of the table, and may fall in two parts. Null for a null."""
        return self._ranked("ntile", per, descending, counted(n, "ntile"))

    def _ranked(self, of: str, per: Columns, descending: bool, n: int | None = None) -> Self:
        found = columns_of(per, f"{of}: per=", self._kind)
        return self._over(of, n=n, per=found, descending=directions(descending, 1, of))

    def _over(self, of: str, **options: object) -> Self:
        return self._of("over", **dict(over_options(of, **options)))

    @property
    def _kind(self) -> type[Self]:
        return type(self)
