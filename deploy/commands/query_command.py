"""``dataflow query`` and ``dataflow explain``: run a metric, or show its plan."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.commands.range_times import time_of_range
from deploy.commands.result_output import checked_output, output_arguments, show_result
from deploy.commands.shared import Command, UsageError, positive, shown_progress, store_argument
from deploy.values import parameter_value
from operators.nearest import meant

if TYPE_CHECKING:
    from runtime import Store
    from runtime.published import Published
    from runtime.result.result import Result
    from runtime.schedules.scheduled_run import ScheduledRun
    from runtime.schedules.thresholds import Threshold

ALERTED = 3
"""Exit code of a query if a threshold holds for any of its rows."""


def parameter(text: str) -> tuple[str, object]:
    """``name=value``, where the value is a number, ``true`` or ``false``, or text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form name=value")
    return name, parameter_value(value)


def parameters_of(given: list[tuple[str, object]]) -> dict[str, object]:
    """Parameter values by name; UsageError for a repeated parameter."""
    names = [name for name, _ in given]
    if twice := next((n for n in names if names.count(n) > 1), None):
        raise UsageError(f"the parameter {twice!r} is given twice")
    return dict(given)


def dollars(text: str) -> float:
    """An amount of 0 or more."""
    try:
        amount = float(text)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not an amount of dollars, 0 or more")
    return amount


def row(text: str) -> dict[str, str]:
    """``firmware=1.0,day=2024-03-01``; a comma that no ``name=`` follows belongs to the value."""
    out: dict[str, str] = {}
    last = None
    for part in text.split(","):
        name, equals, value = part.partition("=")
        if equals and name:
            out[name], last = value, name
        elif last is not None:
            out[last] += f",{part}"
        else:
            raise argparse.ArgumentTypeError(f"'{text}' is not of the form column=value,column=value")
    return out


def metric_arguments(parser: argparse.ArgumentParser, until: bool = True) -> None:
    """A metric, its range (``until``: with its end), parameters and workers."""
    store_argument(parser)
    parser.add_argument(
        "metric",
        metavar="METRIC",
        help="file.py:name, a JSON file, or a published query: NAME or NAME@VERSION (a name without ':' or '/' that "
        "ends in neither .py nor .json)",
    )
    parser.add_argument(
        "--since",
        metavar="TIME",
        type=time_of_range,
        help="start of the range: ISO-8601 UTC, or -7d, today, yesterday, now-1h (default: the first point)",
    )
    if until:
        parser.add_argument(
            "--until",
            metavar="TIME",
            type=time_of_range,
            help="end of the range, exclusive (default: just past the last)",
        )
    parser.add_argument(
        "--param", metavar="k=v", type=parameter, action="append", default=[], help="a parameter of the metric"
    )
    parser.add_argument("--workers", metavar="N", type=positive, help="threads (default: one per core)")
    parser.add_argument(
        "--below-floor", action="store_true", help="answer although points that it needs are retired (dataflow retain)"
    )


def _explain_arguments(parser: argparse.ArgumentParser) -> None:
    metric_arguments(parser)
    parser.add_argument("--fleet", metavar="N", type=positive, help="simulate N Lambda workers: time, cost")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument("--warm", action="store_true", help="with --fleet: all workers have run before (the default)")
    begin.add_argument("--cold", action="store_true", help="with --fleet: no worker has run before")


def _query_arguments(parser: argparse.ArgumentParser) -> None:
    metric_arguments(parser)
    parser.add_argument(
        "--executor", metavar="NAME", help="threads (default), lambda, or lambda:FUNCTION, on a store in S3"
    )
    parser.add_argument(
        "--budget", metavar="DOLLARS", type=dollars, help="refuse a query whose estimated cost is higher"
    )
    output_arguments(parser)
    parser.add_argument("--plot", metavar="FILE", help="also draw a chart: .png, .svg or .html")
    parser.add_argument(
        "--why",
        metavar="COLUMN=VALUE[,COLUMN=VALUE]",
        type=row,
        help="instead of the result, the provenance of one of its rows: keys, intervals, files",
    )
    parser.add_argument(
        "--why-rows",
        metavar="N",
        type=positive,
        default=1000,
        help="list at most N of the rows behind it (default 1000)",
    )
    parser.add_argument(
        "--alert",
        metavar="THRESHOLD",
        action="append",
        default=[],
        help="for example 'uptime < 0.95': list the rows for which it holds, and exit with 3 if there are any",
    )
    parser.add_argument(
        "--save", action="store_true", help="save the result of a published query below results/ in the store"
    )
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="read all files, and write no cache for the next run of a published query",
    )


def _query(options: argparse.Namespace) -> int:
    from deploy.metric_file import located, metric_named
    from runtime import Store

    form = checked_output(options)
    plot = Path(options.plot) if options.plot else None
    if plot is not None:
        _check_plot(plot)
    params = parameters_of(options.param)
    metric = metric_named(options.metric)
    thresholds = _thresholds(options.alert)
    if options.save and not isinstance(metric, str):
        raise UsageError("--save needs a published query: publish the metric with dataflow publish")
    store = Store(options.store)
    named = _published(store, metric) if isinstance(metric, str) else None
    if named is not None:
        # Pin the version: the latest may change.
        metric = f"{named.name}@{named.version}"
    with located(options.metric, metric), shown_progress() as progress:
        result = store.query(
            metric,
            since=options.since,
            until=options.until,
            params=params,
            executor=options.executor,
            workers=options.workers,
            progress=progress,
            budget=options.budget,
            below_floor=options.below_floor,
            cache=False if options.no_cache else None,
        )
    if result.cost is not None:
        print(result.cost, file=sys.stderr)
    why = None if options.why is None else result.explain(options.why, options.why_rows)
    show_result(result if why is None else why, form, options.output)
    if plot is not None:
        _draw(result, plot)
    if not options.save and not thresholds:
        return 0
    from runtime.schedules.scheduled_run import concluded

    span = (options.since, options.until)
    return _judged(concluded(store, named, params, result, thresholds, save=options.save, span=span))


def _published(store: Store, name: str) -> Published:
    from deploy.metric_file import hint_for_query
    from runtime.errors import QueryError

    try:
        return store.published(name)
    except QueryError as error:
        raise QueryError(f"{error}{hint_for_query(name)}") from error


def _check_plot(plot: Path) -> None:
    """UsageError if no chart can be written to this file, before anything is read."""
    kinds = (".png", ".svg", ".html")
    if plot.suffix.lower() not in kinds:
        hint = meant(plot.suffix, kinds, "end the file's name in .png, .svg or .html")
        raise UsageError(f"--plot {plot}: {hint}")
    if not plot.parent.is_dir():
        raise UsageError(f"--plot {plot}: there is no folder {plot.parent}")
    if plot.is_dir():
        raise UsageError(f"--plot {plot}: that is a folder; name a file in it")


def _draw(result: Result, plot: Path) -> None:
    """Write the chart, or print why there is none."""
    if not len(result):
        why = result.why_empty() or "the result has no rows"
        print(f"no chart: nothing to plot, {why}", file=sys.stderr)
        return
    missing = sorted(result.plot(plot).missing)
    print(f"chart written to {plot}", file=sys.stderr)
    if missing:
        shown = "".join(missing[:20])
        print(f"note: no installed font has {shown}; .svg and .html use the viewer's fonts", file=sys.stderr)


def _thresholds(texts: list[str]) -> tuple[Threshold, ...]:
    if not texts:
        return ()
    from runtime.schedules.thresholds import Threshold

    return tuple(Threshold.parse(text) for text in texts)


def _judged(run: ScheduledRun) -> int:
    """Print where the result was saved and which thresholds hold; returns the exit code."""
    for path in run.saved:
        print(f"result saved as {path}", file=sys.stderr)
    if run.unknown:
        print(f"{run.unknown} values are unknown", file=sys.stderr)
    for violation in run.violations:
        print(violation, file=sys.stderr)
    return ALERTED if run.violations else 0


def _explain(options: argparse.Namespace) -> int:
    from deploy.metric_file import located, metric_named
    from runtime import Store

    if (options.cold or options.warm) and options.fleet is None:
        raise UsageError("--warm and --cold need --fleet N")
    params = parameters_of(options.param)
    metric = metric_named(options.metric)
    store = Store(options.store)
    with located(options.metric, metric):
        text = store.explain(
            metric,
            since=options.since,
            until=options.until,
            params=params,
            workers=options.workers,
            fleet=options.fleet,
            warm=not options.cold,
            below_floor=options.below_floor,
        )
    print(text)
    return 0


COMMANDS: dict[str, Command] = {
    "query": Command(
        "run a metric",
        "dataflow query ./store metrics.py:uptime --since 2024-03-01 --until 2024-03-08 --format csv",
        _query_arguments,
        _query,
    ),
    "explain": Command(
        "show the plan of a metric, without running it",
        "dataflow explain ./store metrics.py:uptime --fleet 3000",
        _explain_arguments,
        _explain,
    ),
}
