"""``dataflow retain``: retires old points, once or from now on."""

from __future__ import annotations

import argparse

from deploy.commands.shared import Command, UsageError, be_sure, json_argument, show_json, store_argument


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
    from runtime.progress import count_of
    from runtime.upkeep import retaining

    store = Store(options.store)
    snapshot = store.catalogue.snapshot(options.stream, 0, 0)
    if options.always and options.keep is None:
        raise UsageError("--always is with --keep")
    if options.for_ever:
        retaining.set_policy(store.objects, options.stream, None)
    if options.keep is None and options.before is None:
        show = show_json if options.format == "json" else print
        show(retaining.state_of(store.objects, snapshot, as_json=options.format == "json"))
        return 0
    asked = {"keep": options.keep, "before": options.before}
    if not (options.yes or options.dry_run):
        planned = store.retain(options.stream, **asked, dry_run=True)
        if planned.rows:
            day = planned.to_dict()["day"]
            be_sure(
                f"this retires {count_of(planned.rows, 'point')} before {day}", options.stream, "nothing was retired"
            )
    report = store.retain(options.stream, **asked, always=options.always, dry_run=options.dry_run)
    if options.format == "json":
        show_json(report.to_dict())
    else:
        print(report)
    return 0


COMMANDS: dict[str, Command] = {
    "retain": Command(
        "retire old points: keep the last days, once or from now on",
        "dataflow retain ./store telemetry --keep 400d --always",
        _retain_arguments,
        _retain,
    ),
}
