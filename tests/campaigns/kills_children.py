"""Forked processes of the campaign ``kills``: they say what they do, and end at a drawn step or time."""

from __future__ import annotations

import json
import os
import re
import select
import signal
import sqlite3
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HANGS = 120.0
"""Seconds after which a process is taken to hang."""

EVENTS = {"os.link": 1, "os.rename": 1, "os.remove": 0, "os.mkdir": 0, "open": 0}
"""Audit events that are steps, besides statements of SQLite, and which of their arguments is the path."""

_SQL = re.compile(r"(begin immediate|commit|insert|create|pragma (?!synchronous)\w+ =)")
_ID = re.compile(r"-[0-9a-f]{32}")
_CONNECT = sqlite3.connect
_CHANGES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass(frozen=True)
class Fate:
    """Where a process ends: at a step of its operation ``operation``, the ``nth`` of that label, or ``seconds`` after
    it began that operation; without either it runs to its end."""

    operation: int = 0
    label: str | None = None
    nth: int = 0
    seconds: float | None = None


class Steps:
    """The steps of the operation that runs: what is about to change files below ``root``, or the catalogue."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self.seen: Counter[str] = Counter()
        self._fatal: tuple[str, int] | None = None
        self._writes = False
        sys.addaudithook(self._audit)
        setattr(sqlite3, "connect", self._connected)  # noqa: B010

    def begin(self, fatal: tuple[str, int] | None) -> None:
        """Count those of another operation; the process ends before the ``fatal`` one."""
        self.seen, self._fatal = Counter(), fatal

    def _step(self, label: str) -> None:
        self.seen[label] += 1
        if (label, self.seen[label]) == self._fatal:
            os.kill(os.getpid(), signal.SIGKILL)

    def _audit(self, event: str, given: tuple[Any, ...]) -> None:
        if event in EVENTS:
            path = os.fspath(given[EVENTS[event]]) if not isinstance(given[EVENTS[event]], int) else ""
            changes = given[2] & _CHANGES if event == "open" else event != "os.mkdir" or not os.path.isdir(path)
            if path.startswith(self._root) and changes:
                *folders, name = path[len(self._root) + 1 :].split("/")
                self._step(f"{event} {'/'.join(folders[:2])} {_ID.sub('', name) if len(folders) < 2 else ''}".strip())

    def _connected(self, *given: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = _CONNECT(*given, **options)
        connection.set_trace_callback(self._trace)
        return connection

    def _trace(self, statement: str) -> None:
        found = _SQL.match(statement)
        if found is None or (found[1] == "commit" and not self._writes):
            return  # the end of a transaction that only read
        self._writes = found[1] != "commit"
        self._step(f"sql {found[1]}")


@dataclass
class Child:
    """A process and what it said: the ``outcomes`` of its operations that ended, the steps and seconds of each.

    ``begun`` is the number of operations that it began, ``killed`` whether it was killed, ``error`` what it raised.
    """

    pid: int
    pipe: int
    fate: Fate
    outcomes: list[str] = field(default_factory=list)
    steps: list[dict[str, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    begun: int = 0
    killed: bool = False
    error: str = ""
    _text: bytes = b""
    _deadline: float = 0.0

    @property
    def under_way(self) -> bool:
        """Whether it was killed while an operation was under way."""
        return self.killed and self.begun > len(self.outcomes)

    def read(self) -> bool:
        """Read what it says; False at the end."""
        data = os.read(self.pipe, 1 << 16)
        *lines, self._text = (self._text + data).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "begin" in said:
                self.begun = said["begin"] + 1
                if said["begin"] == self.fate.operation and self.fate.seconds is not None:
                    self._deadline = time.monotonic() + self.fate.seconds
            elif "error" in said:
                self.error = said["error"]
            else:
                self.outcomes.append(said["outcome"])
                self.steps.append(said["steps"])
                self.seconds.append(said["seconds"])
        return bool(data)

    def end_if_due(self, begun: float) -> None:
        """Kill it at the time that was drawn, or if it hangs."""
        now = time.monotonic()
        if self._deadline and now >= self._deadline:
            os.kill(self.pid, signal.SIGKILL)
            self._deadline = 0.0
        elif now - begun > HANGS:
            self.error = f"it still ran after {HANGS:.0f} s"
            os.kill(self.pid, signal.SIGKILL)

    def due_in(self) -> float:
        """Seconds until it is to be killed, at most one."""
        return max(0.0, min(1.0, self._deadline - time.monotonic())) if self._deadline else 1.0

    def ended(self) -> None:
        """Wait for its end."""
        _, status = os.waitpid(self.pid, 0)
        self.killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        if not self.killed and status and not self.error:
            self.error = f"it ended with status {status}"
        os.close(self.pipe)


def run_all(root: Path, works: Sequence[Sequence[Callable[[], str]]], fates: Sequence[Fate]) -> list[Child]:
    """Run lists of operations beside one another, each list in a process; returns when all have ended.

    An operation returns its outcome. ``root`` is the folder whose files it changes.
    """
    begun = time.monotonic()
    children = [_forked(root, work, fate) for work, fate in zip(works, fates, strict=True)]
    running = {child.pipe: child for child in children}
    while running:
        ready, _, _ = select.select(list(running), [], [], min(child.due_in() for child in running.values()))
        for pipe in ready:
            if not running[pipe].read():
                running.pop(pipe).ended()
        for child in running.values():
            child.end_if_due(begun)
    return children


def _forked(root: Path, work: Iterable[Callable[[], str]], fate: Fate) -> Child:
    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Child(pid, reading, fate)
    status = 1
    try:
        os.close(reading)
        _work(root, work, fate, writing)
        status = 0
    except BaseException:
        _say(writing, {"error": traceback.format_exc()[-3_000:]})
    finally:
        os._exit(status)


def _work(root: Path, work: Iterable[Callable[[], str]], fate: Fate, pipe: int) -> None:
    steps = Steps(root)
    for number, operation in enumerate(work):
        fatal = (fate.label, fate.nth) if fate.label is not None and number == fate.operation else None
        _say(pipe, {"begin": number})
        steps.begin(fatal)
        begun = time.monotonic()
        outcome = operation()
        seen = steps.seen
        steps.begin(None)
        _say(pipe, {"outcome": outcome, "steps": seen, "seconds": time.monotonic() - begun})


def _say(pipe: int, what: dict[str, Any]) -> None:
    data = memoryview(json.dumps(what).encode() + b"\n")
    while data:
        data = data[os.write(pipe, data) :]
