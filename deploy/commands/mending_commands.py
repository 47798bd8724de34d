"""``dataflow redrive`` and ``dataflow reconcile``: what failed, or was lost, on its way into a deployment's store."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from deploy.commands.deployment_options import access_arguments, named, named_arguments
from deploy.commands.shared import Command, json_argument, show_json

if TYPE_CHECKING:
    from deploy.stack.actions.dead_letters import RedriveReport
    from deploy.stack.actions.reconciling import ReconcileReport


def _redrive_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("objects", metavar="OBJECT", nargs="*", help="URLs, keys or their last parts (default: all)")
    named_arguments(parser)
    parser.add_argument("--list", action="store_true", help="list the dead letters, and leave them where they are")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason contains this")
    json_argument(parser)
    access_arguments(parser)


def _redrive(options: argparse.Namespace) -> int:
    from deploy.stack.actions.dead_letters import ChosenLetters, Redrive
    from deploy.stack.actions.deployed import DeployedParts

    redrive = Redrive(DeployedParts(*named(options)))
    chosen = ChosenLetters(tuple(options.objects), options.reason or "")
    report = redrive.listed(chosen) if options.list else redrive.moved(chosen)
    if options.format == "json":
        show_json(report.to_dict())
    else:
        _show_letters(report, options.list)
    return 1 if report.count("left") else 0


def _show_letters(report: RedriveReport, listing: bool) -> None:
    from runtime.display.text_tables import iso, printable
    from runtime.progress import count_of

    found = report.letters
    for letter in found:
        what = ", ".join(letter.names) or f"message {letter.message.id}"
        since = iso(int(letter.message.sent * 1e6))[:19]
        done = "" if listing else f"{letter.done}: "
        print(f"{printable(what, None)} (since {since}, received {letter.message.received:,} times)")
        print(f"    {done}{printable(letter.state.why, None)}")
    if report.in_flight:
        print(f"{count_of(report.in_flight, 'dead letter')} in other hands for up to two minutes: repeat it then")
    elif not found:
        print("no dead letters")
    if listing or not found:
        return
    parts = [
        f"{report.count('moved'):,} moved back to ingest's queue",
        f"{report.count('deleted'):,} deleted, as their objects are ingested",
    ]
    if left := report.count("left"):
        parts.append(f"{left:,} left, as they would fail again")
    print("; ".join(parts))


def _reconcile_arguments(parser: argparse.ArgumentParser) -> None:
    named_arguments(parser)
    parser.add_argument(
        "--since", metavar="TIME", type=_since, help="check objects from this time on, or all (default: as scheduled)"
    )
    parser.add_argument("--quarantined", action="store_true", help="take sources in quarantine again, too")
    parser.add_argument("--wait", action="store_true", help="follow a pass of several runs until it is complete")
    json_argument(parser)
    access_arguments(parser)


def _reconcile(options: argparse.Namespace) -> int:
    from deploy.stack.actions.reconciling import reconcile

    event: dict[str, object] = {} if options.since is None else {"since": options.since}
    if options.quarantined:
        event["quarantined"] = True
    name, access = named(options)
    report = reconcile(name, access, event, options.wait, _tell_run if options.wait else lambda _: None)
    if options.format == "json":
        show_json(report.to_dict())
    else:
        _show_pass(report, name)
    return 0


def _since(text: str) -> str:
    """A time as the function reads it, or ``all``."""
    if text == "all":
        return text
    from deploy.commands.range_times import time_of_range
    from runtime.display.text_tables import iso

    found = time_of_range(text)
    return iso(found) if isinstance(found, int) else found


def _tell_run(report: ReconcileReport) -> None:
    if sys.stderr.isatty():
        print(f"{report.counts.get('listed', 0):,} objects listed ...", file=sys.stderr)


def _show_pass(report: ReconcileReport, name: str) -> None:
    says = {
        "listed": "objects listed",
        "enqueued": "enqueued: ingest takes them within minutes",
        "known": "ingested before",
        "quarantined": f"in quarantine (dataflow status --name {name} says why)",
        "queued": "not enqueued: their messages may wait already, or be dead letters (dataflow redrive --list)",
        "young": "younger than 15 minutes: their events may still come",
        "older": "older than it looks (--since all looks at them)",
        "unknown": "of no declared stream",
    }
    for count, value in report.counts.items():
        if value or count in ("listed", "enqueued"):
            print(f"{value:,} {says.get(count, count)}")
    if report.after is not None:
        print(f"not complete: the function goes on by itself after {report.after!r} (--wait follows it)")


COMMANDS: dict[str, Command] = {
    "redrive": Command(
        "list the dead letters of a deployment, why they are there, and move them back",
        "dataflow redrive --name antfold --list",
        _redrive_arguments,
        _redrive,
    ),
    "reconcile": Command(
        "look for objects that arrived and were not ingested, and ingest them",
        "dataflow reconcile --name antfold --since all --wait",
        _reconcile_arguments,
        _reconcile,
    ),
}
