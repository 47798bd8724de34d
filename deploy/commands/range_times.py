"""Times on the command line: absolute, or relative to now."""

from __future__ import annotations

import argparse
import re

from deploy.values import moment
from operators.errors import DataflowError
from operators.nearest import nearest

_FORMS = "write -7d, today, yesterday, now-1h, 2024-03-01 or 2024-03-01T12:00:00Z (UTC)"


def time_of_range(text: str) -> str | int:
    """An absolute time unchanged, a relative one in microseconds; ArgumentTypeError for anything else."""
    from dataflow.times.durations import moment as iso_moment

    try:
        found = moment(text)
        if isinstance(found, str):
            iso_moment(found)
        return found
    except DataflowError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("TIME: ")) from None
    except ValueError:
        near = _near(text)
        hint = _FORMS if near is None else f"did you mean {near!r}? {_FORMS[:1].upper()}{_FORMS[1:]}"
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; {hint}") from None


def _near(text: str) -> str | None:
    """The time that was probably meant by an invalid text."""
    from runtime.schedules.relative_times import is_relative

    word, rest = re.match(r"([a-z]*)(.*)", text.lower().strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    near = nearest(word, ("now", "today", "yesterday"))
    if near is not None and is_relative(near + rest):
        return near + rest
    month = re.fullmatch(r"(\d{4})(-\d\d)?", text)
    return f"{month[1]}{month[2] or '-01'}-01" if month else None
