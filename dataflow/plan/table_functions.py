"""Steps after the merge that look at all rows of a table at once: columns beside the rows, the first rows, a pivot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dataflow.plan.stages import Stage, TableFunction
from operators.types import Type

ROW = "$row"
"""The input of an aggregate's stage with the number of a row, or of a part."""


@dataclass(frozen=True)
class RowOrder:
    """Parts of a table, the rows with equal values of ``per``, each ordered by (column, descending); rows that are
    equal stay in the order of the table. ``text`` is that in words, as the metric gives it."""

    per: tuple[str, ...]
    by: tuple[tuple[str, bool], ...]
    text: str


@dataclass(frozen=True)
class BesideColumn(TableFunction):
    """Adds the column ``name``, a function of the rows of the same part; ``text`` is that in words."""

    name: str
    among: RowOrder
    text: str

    def describe(self) -> str:
        """See TableFunction."""
        return f"{self.text}{self.among.text}"


@dataclass(frozen=True)
class AggregateBeside(BesideColumn):
    """An aggregate of the row's part; with an order, of its rows up to this one, the last ``rows``
    of them. ``stage`` folds rows into groups by their number ``ROW``."""

    rows: int | None
    stage: Stage

    def describe(self) -> str:
        """See TableFunction."""
        return f"{self.text} beside each row{self.among.text}"

    def stages(self) -> Iterator[Stage]:
        """See TableFunction."""
        yield self.stage


@dataclass(frozen=True)
class PlaceBeside(BesideColumn):
    """The row's place in its part by the column ``of``, which the order begins with if it
    is a rank. ``fn`` is rank, dense_rank, row_number or ntile (of ``n`` parts); null where ``of`` is null."""

    fn: str
    of: str
    n: int | None


@dataclass(frozen=True)
class NeighbourBeside(BesideColumn):
    """The value of ``of`` in the row ``away`` rows after this one in its part, or before it if that
    is negative; null if there is no such row."""

    of: str
    away: int


@dataclass(frozen=True)
class ReportBeside(BesideColumn):
    """The first, or the ``last``, value of ``of`` that is not null in the rows of the part up to this one, or in the
    last ``rows`` of them."""

    of: str
    last: bool
    rows: int | None


@dataclass(frozen=True)
class FirstRows(TableFunction):
    """The first ``n`` rows of each part, part by part, without those in which the first column of the order is null."""

    n: int
    among: RowOrder

    def describe(self) -> str:
        """See TableFunction."""
        return f"the first {self.n} rows{self.among.text}"


@dataclass(frozen=True)
class ValueNumber(TableFunction):
    """Adds the column ``name``: the number of the value of ``on`` among ``values``. All others have the number after
    the last; without ``others`` they are an error. ``step`` names the step in it."""

    name: str
    on: str
    values: tuple[bool | int | str | None, ...]
    others: bool
    step: str

    def describe(self) -> str:
        """See TableFunction."""
        return f"values of {self.on} by number, {len(self.values)} declared{', and others' if self.others else ''}"


@dataclass(frozen=True)
class SpreadColumn:
    """A column of a pivot: ``of``, in the row with this ``number``."""

    name: str
    number: int
    of: str
    kind: Type


@dataclass(frozen=True)
class Spread(TableFunction):
    """One row for each combination of ``per``, with the values of rows whose column ``numbers`` has the number of a
    column there. Two rows for one place are an error; ``step`` names the step in it."""

    numbers: str
    per: tuple[str, ...]
    columns: tuple[SpreadColumn, ...]
    step: str

    def describe(self) -> str:
        """See TableFunction."""
        among = f" for each {', '.join(self.per)}" if self.per else ""
        return f"one row{among}, columns {', '.join(c.name for c in self.columns)}"


def listed_order(per: Sequence[str], by: Sequence[tuple[str, bool]]) -> str:
    """Parts and order in words, to follow what is computed in them."""
    among = f" per {', '.join(per)}" if per else ""
    ordered = ", ".join(f"{name} descending" if down else name for name, down in by)
    return among + (f", in the order of {ordered}" if by else "")
