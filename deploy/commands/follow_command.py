"""``dataflow follow``: a metric's answer, kept up to date while points come in."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deploy.commands.long_running import connection_settings, stopped_by_signal
from deploy.commands.query_command import metric_arguments, parameters_of
from deploy.commands.shared import Command, UsageError, ended_by_signal, shown, terminal_form

if TYPE_CHECKING:
    from runtime.live import CurrentAnswer, RowChange

_CLEAR = "\x1b[H\x1b[2J\x1b[3J"


def _arguments(parser: argparse.ArgumentParser) -> None:
    metric_arguments(parser, until=False)
    parser.add_argument("--every", metavar="TIME", default="5s", help="how often to look for new points (default 5s)")
    parser.add_argument(
        "--lateness",
        metavar="TIME",
        default="0s",
        help="how far the watermark is behind the newest points (default 0s)",
    )
    parser.add_argument(
        "--mode",
        choices=("changes", "table", "final"),
        help="every change of a row, the whole table, or each row once it is complete (default: table for --format "
        "table, else changes)",
    )
    parser.add_argument(
        "--format", choices=("table", "ndjson"), help="of the output (default: table on a terminal, else ndjson)"
    )
    parser.add_argument("--until-idle", metavar="TIME", help="end after so long without new points")
    parser.add_argument(
        "--to", metavar="SINK", help="deliver the changes to a file, https://..., kafka://BROKER/TOPIC, or - (output)"
    )
    parser.add_argument("--name", metavar="NAME", help="the name under which deliveries go on after a restart")
    parser.add_argument("--alert", metavar="COLUMN", help="deliver where this column (true or false) begins to be true")
    parser.add_argument(
        "--silent-since",
        metavar="COLUMN",
        help="deliver where this column of times is --for so long ago",
    )
    parser.add_argument("--for", dest="hold", metavar="TIME", help="for how long a condition must hold")
    parser.add_argument("--remind", metavar="TIME", help="say so often that a condition still holds")
    parser.add_argument("--connection", metavar="FILE", help="settings of the sink's connection, one NAME=VALUE a line")


def _follow(options: argparse.Namespace) -> int:
    from deploy.metric_file import located, metric_named
    from runtime import Store

    if options.to is not None:
        return _deliver(options)
    for option in ("name", "alert", "silent_since", "hold", "remind", "connection"):
        if getattr(options, option) is not None:
            raise UsageError(f"--{'for' if option == 'hold' else option.replace('_', '-')} needs --to")
    form = options.format or ("table" if sys.stdout.isatty() else "ndjson")
    mode: Any = options.mode or ("table" if form == "table" else "changes")
    if form == "table" and mode == "final":
        raise UsageError("--mode final emits rows one by one: give --format ndjson")
    metric = metric_named(options.metric)
    params = parameters_of(options.param)
    store = Store(options.store)
    with located(options.metric, metric), shown():
        answers = store.follow(
            metric, options.since, params, every=options.every, lateness=options.lateness, mode=mode,
            until_idle=options.until_idle, workers=options.workers, below_floor=options.below_floor,
        )  # fmt: skip
        try:
            with ended_by_signal():
                _show(answers, form)
        except KeyboardInterrupt:  # the way to end it
            return 0
    return 0


def _deliver(options: argparse.Namespace) -> int:
    from deploy.metric_file import located, metric_named
    from runtime import Store
    from runtime.live import Alert

    if options.format is not None or options.mode == "table":
        raise UsageError("--to takes changes as JSON: leave out --format, and --mode table")
    alert = None
    if options.alert is not None or options.silent_since is not None:
        alert = Alert(options.alert, options.silent_since, options.hold, options.remind)
    elif options.hold is not None or options.remind is not None:
        raise UsageError("--for and --remind are of a condition: give --alert or --silent-since")
    metric = metric_named(options.metric)
    with located(options.metric, metric), shown(), stopped_by_signal() as stop:
        count = Store(options.store).deliver(
            metric, options.to, options.since, parameters_of(options.param), name=options.name, alert=alert,
            every=options.every, lateness=options.lateness, mode=options.mode or "changes",
            until_idle=options.until_idle, workers=options.workers, below_floor=options.below_floor,
            connection=None if options.connection is None else connection_settings(options.connection), stop=stop,
            on_delivery=lambda delivery: _say(f"{delivery.id}: {_counted(len(delivery.events))} to {options.to}"),
            on_trouble=_say,
        )  # fmt: skip
    _say(f"{count:,} deliveries")
    return 0


def _counted(events: int) -> str:
    return "1 event" if events == 1 else f"{events:,} events"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _show(found: Iterable[CurrentAnswer | RowChange], form: str) -> None:
    from runtime.live import RowChange

    for one in found:
        if isinstance(one, RowChange):
            print(one.to_json())
            is_last = not one.more
        elif form == "ndjson":
            print(one.to_json())
            is_last = True
        else:
            print(_table(one))
            is_last = True
        if is_last:
            sys.stdout.flush()


def _table(answer: CurrentAnswer) -> str:
    """The table with what changed marked; on a terminal in place of the one before."""
    from runtime.display.text_tables import iso

    is_terminal = sys.stdout.isatty()
    lines = answer.result.to_text(**terminal_form()).split("\n")
    changed = {change.place for change in answer.changes if change.place is not None}
    if len(changed) < len(answer.result):  # all of the first answer is new
        for place in changed:
            if 2 + place < len(lines) - 1:
                lines[2 + place] = "*" + lines[2 + place].removeprefix(" ")
    mark = "none yet" if answer.watermark is None else iso(answer.watermark)
    commit = (
        answer.snapshot
        if isinstance(answer.snapshot, int)
        else ", ".join(f"{name} {seq}" for name, seq in answer.snapshot.items())
    )
    text = os.linesep.join([*lines, f" commit {commit}, watermark {mark}; * changed since the last commit"])
    return _CLEAR + text if is_terminal else text + "\n"


COMMANDS: dict[str, Command] = {
    "follow": Command(
        "keep a metric's answer up to date while points come in",
        "dataflow follow ./store metrics.py:uptime --every 5s --lateness 10m",
        _arguments,
        _follow,
    )
}
