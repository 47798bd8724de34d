"""``dataflow publish`` and ``dataflow queries``: publish metrics under names, and list them."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deploy.commands.query_command import parameter, parameters_of
from deploy.commands.shared import Command, UsageError, json_argument, show_json, store_argument
from deploy.commands.trigger_options import trigger_arguments, trigger_of

if TYPE_CHECKING:
    from runtime.published import Published


def _publish_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("metric", metavar="METRIC", help="file.py:name, or a JSON file")
    parser.add_argument("--name", metavar="N", required=True, help="to run it by: letters, digits, '_', '-' and '.'")
    parser.add_argument(
        "--describe", metavar="TEXT", help="a description for people (default: that of the version before)"
    )
    parser.add_argument(
        "--default", metavar="k=v", type=parameter, action="append", default=[], help="the default of a parameter"
    )
    parser.add_argument(
        "--target",
        choices=("x86_64", "arm64"),
        action="append",
        help="also publish kernels for workers of this architecture (default: x86_64 for a store in S3)",
    )
    trigger_arguments(parser, "that of the version before")


def _publish(options: argparse.Namespace) -> int:
    from deploy.metric_file import load_metric, located
    from runtime import Store

    metric = load_metric(options.metric)
    store = Store(options.store)
    targets = options.target or (("x86_64",) if store.url.startswith("s3://") else ())
    with located(options.metric, metric):
        published = store.publish(
            metric, options.name, options.describe, parameters_of(options.default), targets, trigger_of(options)
        )
    print(f"{published.name}@{published.version}")
    return 0


def _queries_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("name", metavar="NAME", nargs="?", help="one query: list its versions, parameters, steps")
    json_argument(parser)


def _queries(options: argparse.Namespace) -> int:
    from runtime import Store

    if options.name is not None and "@" in options.name:
        raise UsageError("give NAME without a version: all versions are listed")
    found = Store(options.store).queries(options.name)
    if options.format == "json":
        show_json([p.to_dict() for p in found])
    elif options.name is None:
        print("\n".join(_line(p) for p in found) or "no published queries yet; create one with dataflow publish")
    else:
        print("\n\n".join(_text(p) for p in found))
    return 0


def _line(p: Published) -> str:
    return f"{p.name}@{p.version}  {p.description}".rstrip()


def _text(p: Published) -> str:
    lines = [_line(p), f"  published {p.time} by antfold {p.by}, {'signed' if p.mac else 'not signed'}"]
    lines += [
        f"  parameter {q.name} ({q.type}), {'needs a value' if q.default is None else f'default {q.default}'}"
        for q in p.parameters
    ]
    if p.trigger is not None:
        lines.append(f"  followers emit by trigger({p.trigger.written()})")
    targets = sorted({k.target for k in p.kernels})
    lines.append(
        f"  kernels for {', '.join(targets)}" if targets else "  without kernels: compiled where the query runs"
    )
    steps = ", ".join(str(s["op"]) for s in p.graph["steps"])
    lines.append(f"  steps {steps} (of the stream {p.stream})")
    return "\n".join(lines)


COMMANDS: dict[str, Command] = {
    "publish": Command(
        "publish a metric as the next version of a named query",
        "dataflow publish ./store metrics.py:uptime --name uptime",
        _publish_arguments,
        _publish,
    ),
    "queries": Command(
        "list the published queries, or the versions of one", "dataflow queries ./store", _queries_arguments, _queries
    ),
}
