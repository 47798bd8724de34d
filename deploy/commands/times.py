"""Times on a command line: absolute, or relative to now; what is none is answered with what was probably meant."""

from __future__ import annotations

import argparse
import re

from deploy.values import moment
from operators.errors import DataflowError
from operators.nearest import nearest

_FORMS = "write -7d, today, yesterday, now-1h, 2024-03-01 or 2024-03-01T12:00:00Z (UTC)"


def time_of_range(text: str) -> int:
    """Microseconds UTC of a time; argparse names the option for one that is none."""
    from dataflow.durations import moment as iso_moment

    try:
        found = moment(text)
        return found if isinstance(found, int) else iso_moment(found)
    except DataflowError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("TIME: ")) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time; {_meant(text)}{_FORMS}") from None


def _meant(text: str) -> str:
    """What was probably meant by a time that is none, as a question."""
    from runtime.published.relative import is_relative

    word, rest = re.match(r"([a-z]*)(.*)", text.lower().strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    near = nearest(word, ("now", "today", "yesterday"))
    if near is not None and is_relative(near + rest):
        return f"did you mean {near + rest!r}? "
    month = re.fullmatch(r"(\d{4})(-\d\d)?", text)
    return f"did you mean '{month[1]}{month[2] or '-01'}-01'? " if month else ""
