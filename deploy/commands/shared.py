"""What the commands share: the ``Command`` type, common arguments, and printing of results."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from deploy.values import to_json
from operators.errors import Portable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.columns import Column
    from runtime.progress import Progress

TERMINAL_ROWS = 200


class TerminalForm(TypedDict, total=False):
    """Options of a printed table; see ``runtime.display.text_tables.text_table``."""

    width: int
    color: bool
    max_rows: int


class UsageError(Portable, Exception):
    """Arguments that contradict each other; the script shows the usage and exits with 2."""


@dataclass(frozen=True)
class Command:
    """A command: a one-line description, an example, its arguments, and its action, which returns the exit code."""

    about: str
    example: str
    arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def store_argument(parser: argparse.ArgumentParser) -> None:
    """The store that a command works on."""
    parser.add_argument("store", metavar="STORE", help="the store: a folder, or s3://bucket/prefix")


def json_argument(parser: argparse.ArgumentParser) -> None:
    """``--format`` of a list or report, and ``--json`` for short."""
    parser.add_argument("--format", choices=("table", "json"), default="table", help="of the output")
    parser.add_argument("--json", action="store_const", const="json", dest="format", help="the same as --format json")


def positive(text: str) -> int:
    """A whole number above 0."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above 0")
    return number


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Progress on a terminal, erased before anything else is printed."""
    from runtime.progress import TerminalProgress, progress_for

    progress = progress_for(True)
    try:
        yield progress
    finally:
        if isinstance(progress, TerminalProgress):
            progress.close()


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """Treat SIGTERM like Ctrl-C: report what is done, discard the rest."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def be_sure(what: str, stream: str, unchanged: str) -> None:
    """Let the user give the stream's name once more before ``what`` happens for good; UsageError otherwise."""
    if not sys.stdin.isatty():
        raise UsageError(f"{what} for good, and there is no terminal to ask: give --yes")
    print(f"{what} for good; type the stream's name: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != stream:
        raise UsageError(unchanged)


def be_agreed(what: str, unchanged: str) -> None:
    """Let the user confirm ``what``; UsageError where there is no terminal, or on any other answer than yes."""
    if not sys.stdin.isatty():
        raise UsageError(f"to {what}, and there is no terminal to ask: give --yes")
    print(f"{what}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UsageError(unchanged)


def use_color() -> bool:
    """Whether standard output is a terminal with colours."""
    return sys.stdout.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def flush_or_forget() -> None:
    """Flush the output; after a closed pipe, discard all further output."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def shown() -> Iterator[None]:
    """Ignore a closed pipe while printing, as before `| head`, so that the rest of the command runs."""
    try:
        yield
    except BrokenPipeError:
        pass
    finally:
        flush_or_forget()


def show_table(columns: Mapping[str, Column], noun: str = "row") -> None:
    """Print columns: fitted to a terminal, complete when piped; ``noun`` is what a row is called."""
    from runtime.display.text_tables import text_table

    print(text_table(columns, **terminal_form(), noun=noun))


def terminal_form() -> TerminalForm:
    """Options of a printed table: fitted to a terminal, complete when piped."""
    if not sys.stdout.isatty():
        return {}
    return {"width": shutil.get_terminal_size().columns, "color": use_color(), "max_rows": TERMINAL_ROWS}


class PrintedReport(Protocol):
    """What a command did, as JSON and in words."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        ...


def show_report(report: PrintedReport, form: str) -> None:
    """Print a report in the form that ``json_argument`` asks for."""
    if form == "json":
        show_json(report.to_dict())
    else:
        print(report)


def show_json(value: object) -> None:
    """Print one JSON object on one line."""
    print(to_json(value))
