"""Triggers: what they are made of, as JSON both ways, and mistakes."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

import dataflow as df
from dataflow.language.triggers import check_ends
from dataflow.plan.row_times import row_times
from operators.errors import DataflowError

TRIGGERS = [
    df.trigger("5s"),
    df.trigger(rows=1000),
    df.trigger(commit=True),
    df.trigger(watermark=True),
    df.trigger(timedelta(minutes=1), rows=3, watermark=True),
    df.trigger(watermark=True, early=df.trigger(rows=10, every="1m"), late=df.trigger(commit=True)),
]


@pytest.mark.parametrize("trigger", TRIGGERS, ids=repr)
def test_as_json_and_as_text(trigger: df.Trigger) -> None:
    assert df.Trigger.from_dict(json.loads(json.dumps(trigger.to_dict()))) == trigger
    assert eval(repr(trigger)) == trigger


def test_what_is_written() -> None:
    trigger = df.trigger(watermark=True, early=df.trigger(every="90s"))
    assert trigger.to_dict() == {"watermark": True, "early": {"every": "90s"}}
    assert repr(trigger) == "df.trigger(watermark=True, early=df.trigger(every='90s'))"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "give a condition, such as every='5s'"),
        ({"commit": False}, "give a condition"),
        ({"every": "soon"}, r"trigger\(every\): 'soon' is not a duration"),
        ({"every": 5}, r"trigger\(every\)"),
        ({"every": "0s"}, r"trigger\(every\): .*longer than zero"),
        ({"every": df.param("often", "5s")}, r"trigger\(every\)"),
        ({"rows": 0}, r"trigger\(rows\): 0 is not a whole number above 0"),
        ({"rows": True}, r"trigger\(rows\): True"),
        ({"rows": 1.5}, r"trigger\(rows\): 1.5"),
        ({"watermark": 1}, r"trigger\(watermark\): it is True or False, not 1"),
        ({"early": df.trigger(rows=1)}, "early= and late= are parts of watermark=True"),
        ({"rows": 1, "late": df.trigger(rows=1)}, "early= and late= are parts of watermark=True"),
        ({"watermark": True, "early": "5s"}, r"trigger\(early\): it is a df.trigger\(...\), not '5s'"),
        ({"watermark": True, "late": df.trigger(watermark=True)}, r"trigger\(late\): .* not of the watermark again"),
    ],
)
def test_mistakes(given: dict[str, Any], said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        df.trigger(**given)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "is not an object of conditions"),
        ({"row": 1}, "there is no condition 'row'; did you mean 'rows'"),
        ({"watermark": True, "early": {"every": 5}}, r"trigger\(every\)"),
        ({"watermark": True, "early": 5}, "5 is not an object of conditions"),
    ],
)
def test_json_that_is_no_trigger(value: object, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        df.Trigger.from_dict(value)


def test_rows_that_never_end() -> None:
    whole = df.stream("s").group_by("k").agg(n=df.count())
    hourly = df.stream("s").group_by(h=df.time().truncate("1h")).agg(n=df.count())
    check_ends(df.trigger(watermark=True), row_times(hourly.steps))
    check_ends(df.trigger(rows=5), row_times(whole.steps))
    with pytest.raises(DataflowError, match="watermark=True needs rows that end"):
        check_ends(df.trigger(watermark=True, rows=5), row_times(whole.steps))
