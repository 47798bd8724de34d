"""Which days of a source share a file: sparse ones do, so that years of a row a day are a file a year."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
from numpy.typing import NDArray

SPARSE = 1 << 16
"""Days of a calendar year, else of a month, share a file if they have at most so many rows together, ..."""

FEW_DAYS = 8
"""... and are more than this many: files of one day are easier to merge with others of the day."""

_EPOCH = date(1970, 1, 1).toordinal()
_Month = tuple[int, int]


def shared_days(days: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each of the (ascending, distinct) days since 1970-01-01 with so many rows, the number of its file, from 0 on.

    Files are numbered in the order of their first days.
    """
    if len(days) <= FEW_DAYS:
        return np.arange(len(days))
    dates = [date.fromordinal(day + _EPOCH) for day in days.tolist()]
    sizes = rows.tolist()
    year_rows: Counter[int] = Counter()
    month_rows: Counter[_Month] = Counter()
    for d, size in zip(dates, sizes, strict=True):
        year_rows[d.year] += size
        month_rows[d.year, d.month] += size
    in_year = Counter(d.year for d in dates)
    in_month = Counter((d.year, d.month) for d in dates)
    names: dict[tuple[int, ...], int] = {}
    out = np.empty(len(days), np.int64)
    for i, d in enumerate(dates):
        name: tuple[int, ...] = (d.year, d.month, d.day)
        if year_rows[d.year] <= SPARSE and in_year[d.year] > FEW_DAYS:
            name = (d.year,)
        elif month_rows[d.year, d.month] <= SPARSE and in_month[d.year, d.month] > FEW_DAYS:
            name = (d.year, d.month)
        out[i] = names.setdefault(name, len(names))
    return out
