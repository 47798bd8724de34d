"""Line numbers of a metric's steps in its file, for error messages.

Lines are recorded only while a metric file runs, so that streams cost nothing elsewhere. They are not part of the
metric or its JSON form.
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
    """Record the lines that make steps while the file at ``path`` runs."""
    token = _file.set(os.path.abspath(path))
    try:
        yield
    finally:
        _file.reset(token)


def note_line(made: object, like: object = None) -> None:
    """Record the metric file's line for ``made``: the line of ``like`` if it has one, else the one being executed."""
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
    """The line of the metric file that made a step; None if unknown."""
    return _lines.get(made)
