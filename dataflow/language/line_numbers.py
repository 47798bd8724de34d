"""Where the steps of a metric are written: the lines of its file, for messages about one of its steps.

Lines are noted only while a metric file runs, so that streams cost nothing elsewhere. They are no part of a metric: its
JSON form does not have them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from weakref import WeakKeyDictionary

_file: ContextVar[str | None] = ContextVar("metric_file", default=None)
_lines: WeakKeyDictionary[object, int] = WeakKeyDictionary()


@contextmanager
def noting_lines(path: str) -> Iterator[None]:
    """While this lasts, the lines of the file at ``path`` that make steps are noted."""
    token = _file.set(os.path.abspath(path))
    try:
        yield
    finally:
        _file.reset(token)


def note_line(made: object, like: object = None) -> None:
    """Note the line of the metric file that makes ``made``: that of ``like``, if it has one; else the one that runs."""
    path = _file.get()
    if path is None or made in _lines:
        return
    line = _lines.get(like) if like is not None else None
    frame = sys._getframe(1)
    while line is None and frame is not None:
        if os.path.abspath(frame.f_code.co_filename) == path:
            line = frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    if line is not None:
        _lines[made] = line


def line_of(made: object) -> int | None:
    """The line of its metric file that made a step; None where it is not known."""
    return _lines.get(made)
