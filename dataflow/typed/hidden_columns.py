"""Columns that stages pass on but users do not see."""

from __future__ import annotations

import re

KNOWN, END, BEGIN, EARLY = "$known", "$end", "$begin", "$early"
"""Hidden columns of the rows that stages write: for intervals the known flag (int64) and the end (time), for pieces
the start of their interval; and a row's position relative to the start of the range (int64, one of the four below)."""


IN_RANGE, BEFORE, CUT, WHOLE = 0, 1, 2, 3
"""A row of the range; a row before it, visible only to look-back; the part of a row that lies in the range; and, just
before that part, the whole row, as it is without the range. Odd: not a row of the result."""


WINDOW = "$window"
"""Prefix of the hidden columns with aggregates over moving windows, or with values of later rows."""

ROW_FLAGS, DONE, COMPLETE = ADDED = "$row_flags", "$done", "$complete"
"""Hidden columns of the rows that moving windows are made of, which the runner adds: bits for a row that is in no
window (1), and for one that has the windows of the row before (2); and, with an entry per run, how many of its first
rows were written before, and how many can be written now."""
INPUT = "$input"
"""Hidden column of points of several streams: the number of the input that a row comes from (uint8)."""

ORDER = "$order"
"""Hidden column of points of several streams: the places of the rows in order (int32), where the order matters."""

PARTIAL = "$partial"
"""Hidden column of windows in the result: whether the window is cut."""

OVER = "$over"
"""How the names of columns begin that hold aggregates beside rows."""

_OVER_NAME = re.compile(r"\$over\w+ ")


def hidden_over(number: str, text: str) -> str:
    """The name of a column that holds an aggregate beside rows, or what it is grouped by: its number and its text."""
    return f"{OVER}{number} {text}"


def without_hidden(text: str) -> str:
    """A text for people, in which such columns have their texts for names."""
    return _OVER_NAME.sub("", text)
