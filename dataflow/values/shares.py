"""Shares of a whole, written in percent: "50%"."""

from __future__ import annotations

import re
from fractions import Fraction

_SHARE = re.compile(r"([0-9]{1,3})(?:\.([0-9]{1,6}))?%")


def share_of(text: str) -> Fraction | None:
    """The share that a text is, more than 0% and at most 100%, with at most six decimals; None if it is no such."""
    found = _SHARE.fullmatch(text)
    if found is None:
        return None
    whole, decimals = found[1], found[2] or ""
    share = Fraction(int(whole + decimals), 100 * 10 ** len(decimals))
    return share if 0 < share <= 1 else None
