"""The commands of deploy/OPERATIONS.md, place by place, and a reader who follows them as they are written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tests.waiting import until

PAGE = Path(__file__).resolve().parents[2] / "deploy" / "OPERATIONS.md"
PROGRAMS = ("dataflow", "aws")
_LITERAL = {"KMS", "MODIFIED", "DELETED"}
"""Words in capitals that AWS reads."""


@dataclass(frozen=True)
class PageCommand:
    """A command: in the section of a heading, the step of a list in it (``Upgrades 1``), or the row of an alarm.

    ``note`` is the comment behind it: a placeholder that is what it prints, or ``until`` and what it says at last.
    """

    place: str
    text: str
    note: str = ""


@cache
def page_commands() -> tuple[PageCommand, ...]:
    """Every code span and line of a code block that begins with one of the programs, in their order."""
    return tuple(_found(PAGE.read_text(encoding="utf-8")))


def _found(page: str) -> Iterator[PageCommand]:
    heading, step, block, fresh, prose = "", "", False, True, list[str]()

    def spans() -> Iterator[PageCommand]:
        for span in re.findall(r"`([^`]+)`", " ".join(prose)):
            words = span.replace("\\|", "|").split()
            if words[0] in PROGRAMS and len(words) > 1:
                yield PageCommand(heading + step, " ".join(words))
        prose.clear()

    lines = iter(page.splitlines())
    for line in lines:
        if line.strip().startswith("```"):
            yield from spans()
            block = not block
        elif block:
            while line.endswith("\\"):
                line = line[:-1] + next(lines)
            text, _, note = line.partition("  # ")
            if text.split()[:1] and text.split()[0] in PROGRAMS:
                yield PageCommand(heading + step, " ".join(text.split()), note.strip())
        elif not line.strip():
            yield from spans()
            fresh = True
        else:
            if re.match(r"#|\d+\. |\||- ", line):
                yield from spans()
            if line.startswith("#"):
                heading = line.lstrip("# ")
            if row := re.match(r"\| `([^`]+)`", line) if heading == "Alarms" else None:
                step = f" {row[1]}"
            elif numbered := re.match(r"(\d+)\. ", line):
                step = f" {numbered[1]}"
            elif fresh and not line.startswith(" "):
                step = ""
            fresh = False
            prose.append(line)
    yield from spans()


@dataclass
class PageReader:
    """Does what the page says at ``places``, with ``values`` in place of the words in capitals. ``programs`` run words,
    and fail where the program's exit code is another than the given one."""

    places: Sequence[str]
    programs: Mapping[str, Callable[[Sequence[str], int], str]]
    values: dict[str, str] = field(default_factory=dict)
    done: set[tuple[str, str]] = field(default_factory=set)

    def does(self, place: str, text: str, code: int = 0, **values: str) -> str:
        """Run a command that the page has at this place; what it says."""
        assert text in {command.text for command in self.at(place)}, self.at(place)
        self.done.add((place, text))
        return self._run(self._filled(text, {**self.values, **values}), code)

    def follows(self, place: str, *but: str) -> list[str]:
        """Run all commands of a place in their order, except those that begin with one of ``but``; what they say."""
        return [self._noted(c) for c in self.at(place) if not c.text.startswith(but)]

    def _noted(self, command: PageCommand) -> str:
        said = self.does(command.place, command.text)
        if command.note.startswith("until "):
            wanted = command.note.removeprefix("until ")
            until(lambda: wanted in self.does(command.place, command.text))
        elif command.note:
            self.values[command.note] = said.strip()
        return said

    def at(self, place: str) -> list[PageCommand]:
        """The commands of a place."""
        assert place in self.places
        return [command for command in page_commands() if command.place == place]

    def left(self) -> set[tuple[str, str]]:
        """The commands of these places that were not run, with their places."""
        return {(c.place, c.text) for place in self.places for c in self.at(place)} - self.done

    def _filled(self, text: str, values: Mapping[str, str]) -> str:
        def value(found: re.Match[str]) -> str:
            if found[0] in _LITERAL:
                return found[0]
            quoted = "'" in text[: found.start()] and text[: found.start()].count("'") % 2 == 1
            return values[found[0]] if quoted else shlex.quote(values[found[0]])

        return re.sub(r"(?<![.\w%])[A-Z]{2,}\b", value, text)

    def _run(self, text: str, code: int = 0) -> str:
        while inner := re.search(r"\$\(([^()]*)\)", text):
            text = text[: inner.start()] + shlex.quote(self._run(inner[1]).strip()) + text[inner.end() :]
        words = shlex.split(text)
        return self.programs[words[0]](words[1:], code)
