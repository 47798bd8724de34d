"""The columns of a CSV header: every one gets a name that can be used, and no two the same."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise

from runtime.ingest.text.dialects.csv_records import Cell
from runtime.ingest.text.json_strict import name_fault

_CONTROL = re.compile("[\x00-\x1f\x7f]+")


def raw_names(cells: Sequence[Cell], exact: Collection[str], errors: str = "strict") -> list[str]:
    """The names as they are written, on one line; blanks around one are no part of it unless it is quoted or one of
    ``exact``. UnicodeDecodeError if one is not UTF-8.
    """
    found = []
    for cell in cells:
        name = _CONTROL.sub(" ", cell.text.decode(errors=errors))
        found.append(name if cell.quoted or name in exact else name.strip(" "))
    return found


def without_trailing(names: list[str], sample: Sequence[Sequence[Cell]]) -> list[str]:
    """The names without those at the end that are empty and have no value in any of the rows: a separator too many."""
    n = len(names)
    while n and not names[n - 1] and not any(len(row) >= n and row[n - 1].text.strip() for row in sample):
        n -= 1
    return names[:n]


def has_row_numbers(width: int, sample: Sequence[Sequence[Cell]]) -> bool:
    """Whether every row has one value more than the header, and begins with a quoted whole number, larger than the one
    before: R writes rows with their numbers so, and no name above these. (Without quotes, a decimal comma may be why.)
    """
    if len(sample) < 2 or any(len(row) != width + 1 for row in sample):
        return False
    if not all(row[0].quoted and row[0].text.isdigit() for row in sample):
        return False
    numbers = [int(row[0].text) for row in sample]
    return all(a < b for a, b in pairwise(numbers)) and any(row[-1].text.strip() for row in sample)


def usable(names: Sequence[str], cells: Sequence[Cell]) -> tuple[list[str], dict[str, str]]:
    """Names for all columns, and a sentence on each that is not as it was written in its cell."""
    taken = set(names)
    seen: set[str] = set()
    found: list[str] = []
    notes: dict[str, str] = {}
    for place, (name, cell) in enumerate(zip(names, cells, strict=False), 1):
        fault = name_fault(name)
        new = name
        if fault:
            new = _free(f"column_{place}", taken)
            notes[new] = f"column {place} is called {new}: {fault if name else 'it has no name'}"
        elif name in seen:
            new = _free(name, taken, 2)
            notes[new] = f"column {place} is called {new}: there are two called {name}"
        elif _CONTROL.search(cell.text.decode()):
            notes[new] = f"column {place} is called {new}: line breaks in a name are blanks"
        seen.add(new)
        taken.add(new)
        found.append(new)
    return found, notes


def _free(name: str, taken: Collection[str], number: int = 1) -> str:
    """The name, or it with the first number that makes another of it."""
    new = name if number == 1 else f"{name}_{number}"
    while new in taken:
        number += 1
        new = f"{name}_{number}"
    return new
