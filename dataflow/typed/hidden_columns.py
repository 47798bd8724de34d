"""Columns that stages pass on beside those that people see."""

from __future__ import annotations

KNOWN, END, BEGIN, EARLY = "$known", "$end", "$begin", "$early"
"""Hidden columns of the rows that stages write: of intervals the known flag (int64), the end (time) and, of pieces,
when the interval began that they are of; and how a row stands to the begin of the range (int64, one of these four)."""


IN_RANGE, BEFORE, CUT, WHOLE = 0, 1, 2, 3
"""A row of the range; one before it, which only what looks back sees; the part of a row that lies in the range; and,
just before that part, the whole of it, as it is without the range. Odd: not a row of the answer."""


PARTIAL = "$partial"
"""Hidden column of windows that are rows of the answer: whether something cuts the window."""
