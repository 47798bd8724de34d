"""Progress reporting: counted by the work, drawn on the user's terminal."""

from __future__ import annotations

import atexit
import sys
import threading
import time
from typing import TYPE_CHECKING, Protocol

from operators import forking
from runtime.helpers import main_has_ended

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

_QUIET_SECONDS = 0.4  # shorter work is not worth a flicker or the import of rich


class ProgressTask(Protocol):
    """One piece of work under way; safe to call from several threads."""

    def advance(self, n: int, rows: int = 0) -> None:
        """``n`` more of the unit are done, and ``rows`` more rows were read in them."""

    def finish(self) -> None:
        """The work ended, well or not; further calls do nothing."""


class Progress(Protocol):
    """Receives reports of progress."""

    def start(self, label: str, total: int | None, unit: str) -> ProgressTask:
        """Begin a piece of work of ``total`` units (None: not known); ``unit`` is ``bytes`` or a plural noun."""


class _NoTask:
    def advance(self, n: int, rows: int = 0) -> None:
        """Ignore it."""

    def finish(self) -> None:
        """Ignore it."""


class NoProgress:
    """Shows nothing."""

    def start(self, label: str, total: int | None, unit: str) -> ProgressTask:
        """A task that shows nothing."""
        return _NoTask()


def notice(text: str) -> None:
    """One line on standard error for a person at a terminal; nothing elsewhere."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


class TerminalProgress:
    """Draws one line per task on standard error: label, share, units, rows, rate, time left.

    A line appears only for work that lasts, and disappears when the work ends.
    """

    def __init__(self) -> None:
        self._lock = forking.reentrant_lock()
        self._display: RichProgress | None = None
        self._shown = 0
        forking.renew(self, TerminalProgress._renew)

    def start(self, label: str, total: int | None, unit: str) -> ProgressTask:
        """Begin a line for the task."""
        return _TerminalTask(self, label, total, unit)

    def close(self) -> None:
        """Remove all lines from the terminal; called again at exit, so that the cursor is always restored."""
        with self._lock:
            if self._display is not None:
                self._display.stop()
                self._display = None

    def _renew(self) -> None:
        """In a forked process: the lines, and the thread that draws them, are those of the parent."""
        self._display, self._shown = None, 0

    def _show(self, task: _TerminalTask) -> tuple[RichProgress, TaskID]:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        with self._lock:
            if self._display is None:
                self._display = RichProgress(
                    TextColumn("{task.description}"),
                    BarColumn(bar_width=24),
                    TextColumn("{task.percentage:>3.0f}%"),
                    TextColumn("{task.fields[counts]}", style="dim"),
                    TimeRemainingColumn(compact=True),
                    console=Console(file=sys.stderr),
                    transient=True,
                )
                self._display.start()
                atexit.register(self.close)
            self._shown += 1
            return self._display, self._display.add_task(task.label, total=task.total, counts="")

    def _hide(self, display: RichProgress, line: TaskID) -> None:
        with self._lock:
            if self._display is not display:
                return
            display.remove_task(line)
            self._shown -= 1
            if not self._shown:
                self.close()


class _TerminalTask:
    def __init__(self, owner: TerminalProgress, label: str, total: int | None, unit: str) -> None:
        self.label, self.total, self.unit = label, total, unit
        self._owner = owner
        self._lock = forking.lock()
        self._begun = time.monotonic()
        self._done = self._rows = 0
        self._finished = False
        self._line: tuple[RichProgress, TaskID] | None = None
        self._timer = threading.Timer(_QUIET_SECONDS, self._show)
        self._timer.daemon = True
        if not main_has_ended():  # else no thread can be started, and nobody looks any more
            self._timer.start()
        forking.renew(self, _TerminalTask._renew)

    def _renew(self) -> None:
        self._finished, self._line = True, None

    def advance(self, n: int, rows: int = 0) -> None:
        with self._lock:
            self._done += n
            self._rows += rows
            self._update()

    def finish(self) -> None:
        self._timer.cancel()
        with self._lock:
            self._finished = True
            line, self._line = self._line, None
        if line is not None:
            self._owner._hide(*line)

    def _show(self) -> None:
        with self._lock:
            if not self._finished and not main_has_ended():
                self._line = self._owner._show(self)
                self._update()

    def _update(self) -> None:
        if self._line is not None:
            display, line = self._line
            display.update(line, completed=self._done, counts=self._counts(time.monotonic() - self._begun))

    def _counts(self, elapsed: float) -> str:
        if self.unit == "bytes":
            parts = [human_bytes(self._done) + ("" if self.total is None else f" of {human_bytes(self.total)}")]
        else:
            parts = [f"{self._done:,}" + ("" if self.total is None else f" of {self.total:,}") + f" {self.unit}"]
        if self._rows:
            parts.append(f"{human_count(self._rows)} rows")
            parts.append(f"{human_count(self._rows / elapsed)} rows/s")
        elif self.unit == "bytes":
            parts.append(f"{human_bytes(self._done / elapsed)}/s")
        return " · ".join(parts)


def count_of(n: int, noun: str) -> str:
    """A count with its noun: "1 row", "2,000 rows"."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def human_bytes(n: float) -> str:
    """A size for people: ``999 B``, ``1.2 MB`` (powers of ten)."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(n) < 999.5:
            return f"{n:.0f} B" if unit == "B" else f"{n:.3g} {unit}"
        n /= 1000
    return f"{n:,.4g} TB"


def human_count(n: float) -> str:
    """A count for people: ``950``, ``12.3k``, ``4.56M``."""
    for unit in ("", "k", "M"):
        if abs(n) < 999.5:
            return f"{n:.0f}" if not unit else f"{n:.3g}{unit}"
        n /= 1000
    return f"{n:,.4g}G"


def progress_for(flag: bool | Progress | None) -> Progress:
    """The object to report to: the given one; for True a terminal line, if standard error is a terminal; else none."""
    if flag is None or isinstance(flag, bool):
        return TerminalProgress() if flag and sys.stderr.isatty() else NoProgress()
    return flag
