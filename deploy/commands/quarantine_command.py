"""``dataflow quarantine``: the sources that were set aside, why, and what becomes of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from shlex import quote
from typing import TYPE_CHECKING, Any

from deploy.commands.shared import (
    Command,
    UsageError,
    be_agreed,
    json_argument,
    show_json,
    show_report,
    show_table,
    store_argument,
)

if TYPE_CHECKING:
    from deploy.stack.actions.quarantine_retries import RetriedSource
    from runtime import Store
    from runtime.upkeep.quarantined import QuarantinedSource

ACTIONS = ("list", "show", "retry", "dismiss")
_LINES = 5  # of a source, for `show`
_WIDTH = 200  # letters of a line of it


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help="list, show, retry or dismiss")
    store_argument(parser)
    parser.add_argument("sources", metavar="SOURCE", nargs="*", help="names, or (the beginnings of) ids, as list shows")
    parser.add_argument("--stream", metavar="NAME", help="only sources of this stream")
    parser.add_argument("--reason", metavar="TEXT", help="only those whose reason contains this")
    parser.add_argument(
        "--all", action="store_true", help="list: dismissed ones, too; retry, dismiss: instead of names"
    )
    parser.add_argument("--name", metavar="NAME", help="retry: through this deployment (default: the store's own)")
    parser.add_argument("--here", action="store_true", help="retry: ingest in this process, not in a deployment")
    parser.add_argument("--yes", action="store_true", help="dismiss: do not ask")
    parser.add_argument("--dry-run", action="store_true", help="retry, dismiss: say which sources, and do nothing")
    json_argument(parser)


def _quarantine(options: argparse.Namespace) -> int:
    from runtime import Store

    _check(options)
    store = Store(options.store)
    streams = []
    if options.stream is not None:
        store.be_known(options.stream)
        streams.append(options.stream)
    found = store.quarantined(*streams)
    if options.reason is not None:
        found = [source for source in found if options.reason in source.reason]
    if options.action == "list":
        return _list(options, found)
    chosen = _chosen(options, found)
    if options.action == "show":
        return _show(options, store, chosen)
    return _retry(options, store, chosen) if options.action == "retry" else _dismiss(options, store, chosen)


def _check(options: argparse.Namespace) -> None:
    """UsageError for options that do not belong to the action."""
    only = {"name": ("retry",), "here": ("retry",), "yes": ("dismiss",), "dry_run": ("retry", "dismiss")}
    for option, actions in only.items():
        if getattr(options, option) and options.action not in actions:
            raise UsageError(f"--{option.replace('_', '-')} is for {' and '.join(actions)}, not for {options.action}")
    if options.action == "list" and options.sources:
        raise UsageError("list takes no sources: --stream and --reason choose some; show shows one")
    if options.action != "list" and bool(options.sources) == bool(options.all):
        raise UsageError(f"name the sources to {options.action} (dataflow quarantine list shows them), or give --all")
    if options.name and options.here:
        raise UsageError("--here takes the sources in this process, --name through a deployment: give one of them")


def _chosen(options: argparse.Namespace, found: Sequence[QuarantinedSource]) -> list[QuarantinedSource]:
    from runtime.upkeep.quarantined import named_sources

    if options.all:  # dismissed ones are named one by one
        return [source for source in found if options.action == "show" or not source.entry.dismissed]
    return named_sources(found, options.sources)


def _list(options: argparse.Namespace, found: Sequence[QuarantinedSource]) -> int:
    shown = [source for source in found if options.all or not source.entry.dismissed]
    dismissed = len(found) - len(shown)
    if options.format == "json":
        show_json({"sources": [source.to_dict() for source in shown], "dismissed": dismissed})
        return 0
    if shown:
        from deploy.commands.store_views import quarantine_columns

        show_table(quarantine_columns(shown, options.all), noun="source")
        print(
            f"one in full: dataflow quarantine show {quote(options.store)} {shown[0].short}; retry takes sources "
            "again, dismiss makes them stop asking for attention"
        )
    else:
        print("nothing is in quarantine" if not dismissed else "nothing in quarantine waits for a decision")
    if dismissed:
        print(f"{dismissed:,} dismissed (--all lists them)")
    return 0


def _show(options: argparse.Namespace, store: Store, chosen: Sequence[QuarantinedSource]) -> int:
    if options.format == "json":
        show_json({"sources": [_whole(store, source) for source in chosen]})
        return 0
    print("\n\n".join(_text(_whole(store, source)) for source in chosen) or "nothing is in quarantine")
    return 0


def _whole(store: Store, source: QuarantinedSource) -> dict[str, Any]:
    """All that is known of a source, with its beginning as far as that can be read."""
    from deploy.stack.actions.quarantine_retries import QuarantineRetry
    from operators.errors import DataflowError

    out = source.to_dict()
    out["commits"] = {"dismissed": source.entry.dismissed or None, "retried": source.entry.retried or None}
    try:
        out["first_lines"] = QuarantineRetry(store).beginning(source, _LINES)
        out["unreadable"] = None
    except DataflowError as error:
        out["first_lines"], out["unreadable"] = [], str(error)
    return out


def _text(whole: dict[str, Any]) -> str:
    from runtime.display.text_tables import printable

    state = {"waiting": "waits for a decision", "retried": "to be taken again", "dismissed": "dismissed"}
    lines = [
        f"{whole['short_id']} of {whole['stream']}: {printable(whole['name'], None)}",
        f"  id      {whole['id']}",
        f"  bytes   {whole['bytes']:,}",
        f"  since   {whole['at'][:19]} UTC",
        f"  state   {state[whole['state']]}",
        f"  reason  {printable(whole['reason'], None)}",
    ]
    if whole["unreadable"] is not None:
        lines.append(f"  begins  {printable(whole['unreadable'], None)}")
    for line in whole["first_lines"]:
        lines.append(f"  begins  {printable(line[:_WIDTH], None)}{'...' if len(line) > _WIDTH else ''}")
    return "\n".join(lines)


def _retry(options: argparse.Namespace, store: Store, chosen: Sequence[QuarantinedSource]) -> int:
    from deploy.stack.actions.quarantine_retries import QuarantineRetry, deployment_of

    name = None if options.here else options.name or deployment_of(options.store)
    if options.dry_run:
        done = []
        where = "here" if name is None else f"through the deployment {name}"
        if options.format != "json":
            print("\n".join(f"{s.short} {s.entry.name}: would be taken again {where}" for s in chosen) or _NOTHING)
            return 0
        show_json({"retried": [source.to_dict() for source in chosen], "dry_run": True})
        return 0
    retry = QuarantineRetry(store)
    done = retry.here(chosen) if name is None else retry.through(name, chosen)
    if options.format == "json":
        show_json({"retried": [one.to_dict() for one in done], "deployment": name})
    else:
        _show_retried(done, name)
    return 0 if all(one.ok for one in done) else 1


_NOTHING = "nothing in quarantine waits for a decision"


def _show_retried(done: Sequence[RetriedSource], name: str | None) -> None:
    from runtime.display.text_tables import printable

    for one in done:
        print(f"{one.source.short} {printable(one.source.entry.name, None)}: {one.outcome}; {printable(one.why, None)}")
    if not done:
        print(_NOTHING)
    elif name is not None and any(one.ok for one in done):
        print(
            "ingest takes them within minutes; one that fails again is listed with the time and reason of that "
            "(dataflow quarantine list)"
        )


def _dismiss(options: argparse.Namespace, store: Store, chosen: Sequence[QuarantinedSource]) -> int:
    report = store.dismiss(chosen, dry_run=True)
    if report.sources and not (options.dry_run or options.yes):
        from runtime.progress import count_of

        what = f"dismiss {count_of(len(report.sources), 'source')}, whose points are in no answer"
        be_agreed(what, "nothing was dismissed")
    show_report(store.dismiss(chosen, dry_run=options.dry_run), options.format)
    return 0


COMMANDS: dict[str, Command] = {
    "quarantine": Command(
        "list, show, retry or dismiss the sources that were set aside",
        "dataflow quarantine list ./store",
        _arguments,
        _quarantine,
    ),
}
