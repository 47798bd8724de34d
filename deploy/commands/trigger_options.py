"""How a command is given a trigger: when those who follow an answer emit what has changed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from deploy.commands.shared import UsageError, positive

if TYPE_CHECKING:
    from dataflow.language.triggers import Trigger


def trigger_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """The options; what is emitted without any, ``default`` says."""
    parser.add_argument(
        "--after-commit", action="store_true", help=f"emit after each commit (default, of these options: {default})"
    )
    parser.add_argument("--after-time", metavar="TIME", help="emit so long after the last emission")
    parser.add_argument("--after-rows", metavar="N", type=positive, help="emit after so many new points")
    parser.add_argument(
        "--after-watermark",
        action="store_true",
        help="emit when the watermark passes the end of rows, and when such rows change later",
    )
    parser.add_argument("--trigger", metavar="FILE.py:NAME", help="emit by the df.trigger(...) of that name in a file")


def trigger_of(options: argparse.Namespace) -> Trigger | None:
    """The trigger that the options describe: the first condition that is met; None without any."""
    from dataflow.language.triggers import trigger
    from deploy.metric_file import load_trigger

    conditions = (options.after_commit, options.after_time, options.after_rows, options.after_watermark)
    if options.trigger is not None:
        if any(conditions):
            raise UsageError("--trigger says it all: leave out --after-commit, --after-time, --after-rows and so on")
        return load_trigger(options.trigger)
    if not any(conditions):
        return None
    return trigger(
        options.after_time, rows=options.after_rows, commit=options.after_commit, watermark=options.after_watermark
    )
