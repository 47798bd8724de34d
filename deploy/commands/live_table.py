"""The table of an answer as it changes: on a terminal in place of the one before, else one below the other."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

from deploy.commands.shared import use_color
from runtime.display.text_tables import cell_width, iso

if TYPE_CHECKING:
    from runtime.live import CurrentAnswer

_HEAD = 2
"""Lines above the rows of a table."""

_PANE = len("on_time") + 2
_LEAST_ROWS = 3
_SECONDS = len("2024-03-01T00:00:00")
_DIGITS = 12
"""Of a proof, as many as people compare."""

_DIM, _CHANGED, _PLAIN = "\x1b[2m", "\x1b[1;33m", "\x1b[0m"


class LiveTable:
    """Shows answers: each row that has changed with ``*`` and, once rows end, with its pane; below them the commit, the
    watermark and the proof. ``title`` is a line above the table."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self._is_terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        self._above = 0
        """Lines of the table that is to be replaced."""

        self._has_panes = False

    def show(self, answer: CurrentAnswer) -> None:
        """The table of the next answer."""
        self._has_panes |= any(change.pane != "early" for change in answer.changes)
        if not self._is_terminal:
            print("\n".join(self._lines(answer, None)) + "\n", flush=True)
            return
        width, height = shutil.get_terminal_size()
        lines = [_cut(line, width - 1) for line in self._lines(answer, (width, height))][-max(1, height - 1) :]
        up = f"\x1b[{self._above}A" if self._above else ""
        # What was there is overwritten line by line: a screen that is cleared first flickers.
        sys.stdout.write(f"\r{up}" + "".join(f"{self._styled(line)}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        self._above = len(lines)

    def _lines(self, answer: CurrentAnswer, size: tuple[int, int] | None) -> list[str]:
        """The lines, of which those of changed rows begin with ``*``."""
        panes = {change.place: change.pane for change in answer.changes if change.place is not None}
        lead = _PANE if self._has_panes else 0
        found = list(answer.result.text_lines(width=None if size is None else size[0] - lead))
        rows = len(answer.result)
        title, rule, below = found[0], found[1], found[_HEAD + rows :]
        begin, end = 0, rows
        if size is not None:
            room = size[1] - 1 - _HEAD - 1 - 2 * bool(self.title)
            below = below[: max(1, room - _LEAST_ROWS)]
            room = max(_LEAST_ROWS, room - len(below))
            end = min(rows, max(room, max(panes, default=rows - 1) + 1))
            begin = max(0, end - room)
            if end - begin < rows:
                below[0] += f"; {begin + 1:,} to {end:,} are shown"
        is_first = len(panes) == rows and all(change.old is None for change in answer.changes)  # nothing is marked
        shown = [
            f"{'*' if place in panes and not is_first else ' '}{panes.get(place, '') * bool(lead):<{lead}}"
            f"{found[_HEAD + place][1:]}".rstrip()
            for place in range(begin, end)
        ]
        top = [f" {'pane' * bool(lead):<{lead}}{title[1:]}", f" {'':<{lead}}{rule[1:]}"]
        return [*([f" {self.title}", ""] if self.title else []), *top, *shown, *below, f" {_state(answer)}"]

    def _styled(self, line: str) -> str:
        if not use_color():
            return line
        if line.startswith("*"):
            return f"{_CHANGED}{line}{_PLAIN}"
        return f"{_DIM}{line}{_PLAIN}" if line.lstrip().startswith("─") else line


def _cut(line: str, width: int) -> str:
    """The line on one line of the terminal."""
    if cell_width(line) <= width:
        return line
    while cell_width(line) >= width:
        line = line[:-1]
    return line + "…"


def _state(answer: CurrentAnswer) -> str:
    mark = "none yet" if answer.watermark is None else f"{iso(answer.watermark)[:_SECONDS]}Z"
    commits = answer.snapshot
    commit = commits if isinstance(commits, int) else ", ".join(f"{name} {seq}" for name, seq in commits.items())
    return f"commit {commit}, watermark {mark}, proof {answer.proof[:_DIGITS]}; * changed"
