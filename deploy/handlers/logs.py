"""Structured logs and metrics: JSON lines, metrics in CloudWatch's embedded metric format.

Format: AWS, "Specification: Embedded metric format". Lines contain names, counts and reasons only, no user data, with
control characters escaped.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from deploy.handlers.redaction import redacted
from operators.errors import DataflowError

NAMESPACE = "antfold"

METRICS: Mapping[str, str] = {
    "RowsIngested": "Count",
    "RowsRejected": "Count",
    "RowsDropped": "Count",
    "BytesIngested": "Bytes",
    "SourcesIngested": "Count",
    "SourcesRepeated": "Count",
    "SourcesQuarantined": "Count",
    "MessagesFailed": "Count",
    "TasksAnswered": "Count",
    "TasksRefused": "Count",
    "TaskSeconds": "Seconds",
    "BytesRead": "Bytes",
    "QueriesAnswered": "Count",
    "QueriesFailed": "Count",
    "QuerySeconds": "Seconds",
    "AlertsSent": "Count",
    "ObjectsListed": "Count",
    "ObjectsEnqueued": "Count",
    "ObjectsUnknown": "Count",
    "StreamsFailed": "Count",
    "RowsRewritten": "Count",
    "FilesReplaced": "Count",
    "RowsRetired": "Count",
    "FilesRemoved": "Count",
    "BytesRemoved": "Bytes",
}
"""The unit of every metric."""

DETAILED: Mapping[str, str] = {
    "RowsIngested": "Stream",
    "RowsRejected": "Stream",
    "SourcesQuarantined": "Stream",
    "QueriesAnswered": "Query",
    "QuerySeconds": "Query",
    "QueriesFailed": "Class",
    "MessagesFailed": "Version",
}
"""The metrics that are also kept by a dimension of their own, and by which. CloudWatch charges for every combination
(deploy/stack/costs.py), so all others are kept by function only; the log's lines have all of them."""

_TEXT = 1_000
"""Characters after which a text is cut: CloudWatch allows 256 KB per line, and 1 MB per embedded metric."""

_TAIL = 300
"""Of these, the last ones: an object's name says most at its end."""


class Invocation:
    """One call of a function: the fields that its log lines share, and the time left.

    ``context`` is Lambda's; None outside of Lambda, where time is unlimited.
    """

    def __init__(self, context: Any = None) -> None:
        self._context = context
        named = os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "local")
        self.function = str(getattr(context, "function_name", None) or named)
        version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION", "local")
        self.version = str(getattr(context, "function_version", None) or version)
        self.request = str(getattr(context, "aws_request_id", ""))
        self.begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the call began."""
        return time.monotonic() - self.begun

    def seconds_left(self) -> float:
        """Seconds until Lambda stops the function."""
        left = getattr(self._context, "get_remaining_time_in_millis", None)
        return float("inf") if left is None else float(left()) / 1000

    def log(self, event: str, level: str = "info", **fields: object) -> None:
        """Write one line."""
        _write({"level": level, "event": event, "function": self.function, "request": self.request, **fields})

    def measure(self, values: Mapping[str, float], **dimensions: str) -> None:
        """Write one line of metrics by function, and those of ``DETAILED`` also by function and ``dimensions``."""
        named = {"Function": self.function, **dimensions}
        detailed = [name for name in values if DETAILED.get(name) in dimensions]
        directives = [_directive(["Function"], list(values))]
        if detailed:
            directives.append(_directive(list(named), detailed))
        metadata = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": directives}
        _write({"_aws": metadata, **named, "request": self.request, **values})

    def measure_done(self, values: Mapping[str, float]) -> None:
        """Those that are not zero: CloudWatch charges for each hour in which a metric is sent, and functions that run
        on schedules mostly find nothing to do. Only for metrics of which nothing reads a zero."""
        done = {name: value for name, value in values.items() if value}
        if done:
            self.measure(done)


def _directive(dimensions: list[str], names: list[str]) -> dict[str, Any]:
    metrics = [{"Name": name, "Unit": METRICS[name]} for name in names]
    return {"Namespace": NAMESPACE, "Dimensions": [dimensions], "Metrics": metrics}


@contextmanager
def invocation(context: Any) -> Iterator[Invocation]:
    """An invocation, with a final log line: its seconds and, if it failed, the error."""
    if not gc.isenabled():  # the first: what was imported stays (``deploy.handlers``)
        gc.freeze()
        gc.enable()
    run = Invocation(context)
    try:
        yield run
    except BaseException as error:
        run.log("failed", "error", seconds=round(run.seconds, 3), **described(error))
        raise
    run.log("done", seconds=round(run.seconds, 3))


def described(error: BaseException) -> dict[str, str]:
    """An error as log fields; an unexpected one with its place in the code."""
    fields = {"error": type(error).__name__, "message": redacted(str(error))}
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if not isinstance(error, DataflowError) and trace is not None:
        fields["at"] = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
    return fields


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT - _TAIL - 5]} ... {text[-_TAIL:]}"


def _write(fields: Mapping[str, object]) -> None:
    plain = {name: _cut(value) if isinstance(value, str) else value for name, value in fields.items()}
    # ASCII: no object key can end the line or colour a terminal.
    sys.stdout.write(json.dumps(plain, ensure_ascii=True, default=str).replace("\x7f", "\\u007f") + "\n")
    sys.stdout.flush()
