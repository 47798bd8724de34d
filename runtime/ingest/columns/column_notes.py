"""What became of a source's values besides those in their own columns: for the report, and for conservation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from runtime.ingest.report import ColumnReport, Example


@dataclass
class ColumnNote:
    """Values of one column that are not in it: ``nulls`` by the word that stood for them, with the first of each in
    ``missing``; ``twins`` by the type of the column beside it that has them, with the first ``examples`` of these. In a
    text column of CSV, ``numbers`` look like numbers, and ``text`` is the first that does not."""

    nulls: Counter[str] = field(default_factory=Counter)
    twins: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Example] = field(default_factory=dict)
    missing: dict[str, Example] = field(default_factory=dict)
    numbers: int = 0
    text: Example | None = None


@dataclass
class SourceNotes:
    """The notes on a source: by column; values that no column took, by reason; ``sentences`` on how it was read."""

    columns: dict[str, ColumnNote] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)

    def report(self, name: str, type_: str, values: int) -> ColumnReport:
        """The report on a column of this type that got so many values."""
        note = self.columns.get(name, ColumnNote())
        return ColumnReport(
            type_, values, dict(note.twins), dict(note.nulls), dict(note.examples), note.numbers, note.text
        )

    def of(self, name: str) -> ColumnNote:
        """The note on a column, new if necessary."""
        return self.columns.setdefault(name, ColumnNote())
