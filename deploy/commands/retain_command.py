"""``dataflow retain``: retires old points, once or from now on."""

from __future__ import annotations

import argparse

from deploy.commands.shared import Command, UsageError, be_sure, json_argument, show_report, store_argument


def _retain_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--keep", metavar="T", help="keep so much, counted back from the newest point: 400d")
    what.add_argument("--before", metavar="DATE", help="retire what is before this day (UTC)")
    what.add_argument("--for-ever", action="store_true", help="end the policy of --always")
    parser.add_argument("--always", action="store_true", help="with --keep: `dataflow optimize` does it from now on")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--dry-run", action="store_true", help="say what would be retired, and do nothing")
    json_argument(parser)


def _retain(options: argparse.Namespace) -> int:
    from runtime import Store
    from runtime.upkeep import retaining

    store = Store(options.store)
    store.be_known(options.stream)
    if options.always and options.keep is None:
        raise UsageError("--always is with --keep")
    if options.for_ever and not options.dry_run:
        retaining.end_policy(store.objects, options.stream)
    if options.keep is None and options.before is None:
        snapshot = store.catalogue.snapshot(options.stream, 0, 0)
        show_report(retaining.state_of(store.objects, snapshot), options.format)
        return 0
    asked = {"keep": options.keep, "before": options.before}
    if not (options.yes or options.dry_run):
        planned = store.retain(options.stream, **asked, dry_run=True)
        later = f", and later ones as they become older than {options.keep}" if options.always else ""
        if planned.rows or later:
            be_sure(f"this retires {planned.points}{later},", options.stream, "nothing was retired")
    show_report(store.retain(options.stream, **asked, always=options.always, dry_run=options.dry_run), options.format)
    return 0


COMMANDS: dict[str, Command] = {
    "retain": Command(
        "retire old points: keep the last days, once or from now on",
        "dataflow retain ./store telemetry --keep 400d --always",
        _retain_arguments,
        _retain,
    ),
}
