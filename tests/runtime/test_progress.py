"""Progress: none without a terminal; on one, lines that appear late and always disappear."""

from __future__ import annotations

import io
import threading

import pytest

from runtime import progress as module
from runtime.progress import NoProgress, TerminalProgress, human_bytes, human_count, progress_for
from tests.waiting import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_none_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress_for(True), NoProgress)
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(progress_for(True), TerminalProgress)
    assert isinstance(progress_for(False), NoProgress)
    assert isinstance(progress_for(None), NoProgress)
    mine = NoProgress()
    assert progress_for(mine) is mine
    task = mine.start("x", None, "files")
    task.advance(1, rows=2)
    task.finish()


def test_short_work_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    task = TerminalProgress().start("ingest", 3, "files")
    task.advance(3)
    task.finish()
    assert terminal.getvalue() == ""


def test_long_work_is_shown_and_cleared(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    progress = TerminalProgress()
    tasks = [progress.start(name, total, "bytes") for name, total in (("ingest", 4_000_000), ("upload", None))]
    until(lambda: "upload" in terminal.getvalue())

    def work() -> None:
        for _ in range(100):
            tasks[0].advance(10_000, rows=25)
            tasks[1].advance(1)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    until(lambda: "4 MB of 4 MB · 10k rows" in terminal.getvalue() and "rows/s" in terminal.getvalue())
    for task in tasks:
        task.finish()
        task.finish()
    shown = terminal.getvalue()
    assert "ingest" in shown
    assert "4 MB of 4 MB · 10k rows" in shown
    assert "rows/s" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is back
    progress.close()


def test_closing_ends_it_early(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    progress = TerminalProgress()
    task = progress.start("query", 10, "tasks")
    until(terminal.getvalue)
    progress.close()
    length = len(terminal.getvalue())
    task.advance(1)
    task.finish()
    assert len(terminal.getvalue()) == length


@pytest.mark.parametrize(
    ("n", "text"),
    [(0, "0 B"), (999, "999 B"), (1234, "1.23 kB"), (8_000_000, "8 MB"), (1.5e12, "1.5 TB"), (5e15, "5,000 TB")],
)
def test_sizes(n: float, text: str) -> None:
    assert human_bytes(n) == text


@pytest.mark.parametrize(
    ("n", "text"), [(0, "0"), (999, "999"), (12_345, "12.3k"), (4_560_000, "4.56M"), (7e10, "70G")]
)
def test_counts(n: float, text: str) -> None:
    assert human_count(n) == text
