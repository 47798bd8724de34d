"""Log lines: one per event whatever it contains; metrics in CloudWatch's embedded metric format."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.handlers.logs import METRICS, NAMESPACE, Invocation, described, invocation
from operators.errors import DataflowError
from tests.deploy.handlers.deployed import Context, Lines

SIZES = ["", "Kilo", "Mega", "Giga", "Tera"]
UNITS = {"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "None"} | {
    (size + unit).capitalize() for size in SIZES for unit in ("bytes", "bits")
}


def check_embedded(line: dict[str, Any]) -> None:
    """What CloudWatch's "Specification: Embedded metric format" demands of a line; others are dropped silently."""
    metadata = line["_aws"]
    assert set(metadata) == {"Timestamp", "CloudWatchMetrics"}
    assert type(metadata["Timestamp"]) is int
    assert (
        abs(metadata["Timestamp"] - time.time() * 1000) < 3_600_000
    )  # milliseconds; not over 14 days old, 2 hours ahead
    for directive in metadata["CloudWatchMetrics"]:
        assert set(directive) == {"Namespace", "Dimensions", "Metrics"}
        assert isinstance(directive["Namespace"], str)
        assert 1 <= len(directive["Namespace"]) <= 1024
        assert directive["Dimensions"]
        for dimensions in directive["Dimensions"]:
            assert len(dimensions) <= 30
            for name in dimensions:
                assert 1 <= len(name) <= 250
                assert isinstance(line[name], str)
                assert 1 <= len(line[name]) <= 1024
        assert len(directive["Metrics"]) <= 100
        for metric in directive["Metrics"]:
            assert set(metric) <= {"Name", "Unit", "StorageResolution"}
            assert metric["Unit"] in UNITS
            value = line[metric["Name"]]
            assert isinstance(value, int | float)
            assert not isinstance(value, bool)
    assert len(json.dumps(line).encode()) < 1 << 20


def test_metrics(lines: Callable[[], Lines]) -> None:
    run = Invocation(Context())
    run.measure({"RowsIngested": 5, "BytesIngested": 7}, Stream="s")
    run.measure({"TaskSeconds": 0.25})
    run.measure(dict.fromkeys(METRICS, 1), Query="q")
    logged = lines()
    for line in logged.all:
        check_embedded(line)
    by_function, by_stream = logged.all[0]["_aws"]["CloudWatchMetrics"]
    assert (by_function["Dimensions"], by_stream["Dimensions"]) == ([["Function"]], [["Function", "Stream"]])
    assert [m["Name"] for m in by_stream["Metrics"]] == ["RowsIngested"]  # a dimension more is a metric more to pay for
    assert by_function["Namespace"] == by_stream["Namespace"] == NAMESPACE == "antfold"
    assert (logged.metric("RowsIngested", Stream="s"), logged.metric("RowsIngested")) == (5, 6)
    with pytest.raises(KeyError):
        run.measure({"NoSuchMetric": 1})


@given(st.text(max_size=1_000), st.text(max_size=20))
def test_a_line_is_a_line(text: str, name: str) -> None:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        Invocation().log(text, object=text, reasons={name: 1})
    assert out.getvalue().count("\n") == 1
    assert out.getvalue()[:-1].isprintable()
    assert out.getvalue().isascii()
    assert json.loads(out.getvalue())["event"] == text


def test_an_invocation_tells_how_it_ended(lines: Callable[[], Lines]) -> None:
    with invocation(Context(3)) as run:
        assert run.seconds_left() == 3
    assert Invocation().seconds_left() == float("inf")
    with pytest.raises(ZeroDivisionError), invocation(Context()):
        raise ZeroDivisionError("oh\nno")
    done, failed = lines().all
    assert (done["event"], done["function"], done["request"]) == ("done", "antfold-ingest", "request-1")
    assert (failed["event"], failed["level"], failed["error"], failed["message"]) == (
        "failed", "error", "ZeroDivisionError", "oh\nno",
    )  # fmt: skip
    assert "test_logs.py:" in failed["at"]


def test_what_errors_quote_is_left_out() -> None:
    """More of it: test_redaction.py."""
    error = DataflowError("""a.json (it begins '{"secret": 1') has column 'name.x' and "two words", not 's3://b/k=1'""")
    assert described(error)["message"] == """a.json (it begins '...') has column 'name.x' and '...', not '...'"""
    assert "at" not in described(error)
