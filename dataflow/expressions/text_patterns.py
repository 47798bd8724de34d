"""Regular expressions of ``extract``, by RE2: the time to search a text grows with its length only."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast

from dataflow.values.mistaken import shown, text_of
from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError

MOST_CHARACTERS = 1_000
"""Characters of a pattern."""


def pattern_of(value: Any, where: str = "extract") -> str:
    """The pattern as text, or the parameter that stands for it; DataflowError, naming ``where``, if it is none."""
    if isinstance(value, Setting):
        checked_setting(value, lambda v: pattern_of(v, where))
        return cast(str, value)
    text = text_of(value, where)
    compiled(text, where)
    return text


@lru_cache(maxsize=256)
def compiled(pattern: str, where: str = "extract") -> Any:
    """The pattern, compiled by RE2, with at most one group; DataflowError if it is not such a pattern."""
    import re2  # only where a pattern is used: everything else starts faster

    if not 0 < len(pattern) <= MOST_CHARACTERS:
        raise DataflowError(f"{where} takes a pattern of 1 to {MOST_CHARACTERS:,} characters")
    options = re2.Options()
    options.log_errors = False
    try:
        found = re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        said = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise DataflowError(
            f"{where}: {shown(pattern)} is no pattern of RE2, which knows neither references to groups nor looks ahead "
            f"or behind: {said}"
        ) from None
    if found.groups > 1:
        raise DataflowError(
            f"{where}: {shown(pattern)} has {found.groups} groups, so which of them is wanted is not known: write "
            "(?:...) for the others"
        )
    return found
