"""``dataflow follow``: a metric's answer, kept up to date while points come in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from deploy.commands.long_running import connection_settings, stopped_by_signal
from deploy.commands.query_command import metric_arguments, parameters_of
from deploy.commands.shared import Command, UsageError, ended_by_signal, shown
from deploy.commands.trigger_options import trigger_arguments, trigger_of

if TYPE_CHECKING:
    from runtime.live import CurrentAnswer, RowChange


def _arguments(parser: argparse.ArgumentParser) -> None:
    metric_arguments(parser, until=False)
    parser.add_argument("--every", metavar="TIME", help="how often to look for new points (default 5s)")
    trigger_arguments(parser, "the trigger of the published query, else this one")
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
        "--to",
        metavar="SINK",
        help="deliver the changes to a file, https://..., kafka://BROKER/TOPIC, sns://TOPIC, or - (output)",
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
            trigger=trigger_of(options), until_idle=options.until_idle, workers=options.workers,
            below_floor=options.below_floor,
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
            trigger=trigger_of(options), until_idle=options.until_idle, workers=options.workers,
            below_floor=options.below_floor,
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
    from deploy.commands.live_table import LiveTable
    from runtime.live import CurrentAnswer

    table = LiveTable()
    for one in found:
        if form == "table" and isinstance(one, CurrentAnswer):
            table.show(one)
        else:
            print(one.to_json(), flush=isinstance(one, CurrentAnswer) or not one.more)


COMMANDS: dict[str, Command] = {
    "follow": Command(
        "keep a metric's answer up to date while points come in",
        "dataflow follow ./store metrics.py:uptime --every 5s --lateness 10m",
        _arguments,
        _follow,
    )
}
