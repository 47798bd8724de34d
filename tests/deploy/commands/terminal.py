"""A terminal in memory: what is on its screen after the codes that the console writes; any other code is an error."""

from __future__ import annotations

import re

_CODE = re.compile(r"\x1b\[(\d*)([AKJm;0-9]*?)([AKJm])")


class Terminal:
    """A screen of ``width`` and ``height``, and the lines that have left it at the top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.lines: list[str] = [""]
        self._top = self._row = self._column = 0

    @property
    def screen(self) -> list[str]:
        """The lines that are seen, without blanks at their ends."""
        return [line.rstrip() for line in self.lines[self._top :]]

    def feed(self, text: str) -> None:
        """Show what is written."""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                code = _CODE.match(text, at)
                assert code is not None, repr(text[at : at + 20])
                self._do(code[3], code[1])
                at = code.end()
                continue
            self._put(text[at])
            at += 1

    def _do(self, kind: str, number: str) -> None:
        if kind == "A":
            self._row = max(self._top, self._row - int(number or 1))
        elif kind == "K":
            self.lines[self._row] = self.lines[self._row][: self._column]
        elif kind == "J":
            del self.lines[self._row + 1 :]
            self.lines[self._row] = self.lines[self._row][: self._column]

    def _put(self, one: str) -> None:
        if one == "\r":
            self._column = 0
        elif one == "\n":
            self._row, self._column = self._row + 1, 0
            self.lines += [""] * (self._row + 1 - len(self.lines))
            self._top = max(self._top, self._row + 1 - self.height)
        else:
            assert one.isprintable(), repr(one)
            if self._column == self.width:
                self._put("\r")
                self._put("\n")
            line = self.lines[self._row].ljust(self._column)
            self.lines[self._row] = line[: self._column] + one + line[self._column + 1 :]
            self._column += 1
