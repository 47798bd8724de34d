"""OpenTelemetry's metrics, logs and traces as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import IngestError
from tests.runtime.ingest.formats.preset_files import START, US
from tests.runtime.ingest.formats.test_web_logs import taken
from tests.runtime.ingest.lake import Lake
from tests.runtime.ingest.records.pieces import in_any_pieces

NS = START * 1_000_000_000


def attributes(**values: Any) -> list[dict[str, Any]]:
    return [{"key": n.replace("__", "."), "value": v} for n, v in values.items()]


RESOURCE = {"attributes": attributes(service__name={"stringValue": "shop"}, host__cpus={"intValue": "4"})}


def test_otlp_metrics() -> None:
    document = {
        "resourceMetrics": [
            {
                "resource": RESOURCE,
                "scopeMetrics": [
                    {
                        "scope": {"name": "meter", "version": "1"},
                        "metrics": [
                            {
                                "name": "temp",
                                "unit": "Cel",
                                "gauge": {
                                    "dataPoints": [
                                        {
                                            "timeUnixNano": str(NS),
                                            "asDouble": 21.5,
                                            "attributes": attributes(room={"stringValue": "a"}),
                                        },
                                        {"timeUnixNano": str(NS + 1000), "asDouble": "NaN"},
                                    ]
                                },
                            },
                            {
                                "name": "requests",
                                "sum": {
                                    "aggregationTemporality": 2,
                                    "isMonotonic": True,
                                    "dataPoints": [
                                        {"startTimeUnixNano": str(NS - 5), "timeUnixNano": str(NS), "asInt": "7"}
                                    ],
                                },
                            },
                        ],
                    },
                    {
                        "metrics": [
                            {
                                "name": "latency",
                                "histogram": {
                                    "dataPoints": [
                                        {
                                            "timeUnixNano": str(NS),
                                            "count": "3",
                                            "sum": 1.5,
                                            "bucketCounts": ["1", "2"],
                                            "explicitBounds": [0.5],
                                        }
                                    ],
                                },
                            },
                        ],
                        "schemaUrl": "u",
                    },
                ],
            },
            {"resource": {}},
        ]
    }
    common = {"k": "shop", "resource.host.cpus": 4}
    scope = {"scope.name": "meter", "scope.version": "1"}
    expected = [
        {
            **common,
            **scope,
            "t": US,
            "name": "temp",
            "unit": "Cel",
            "kind": "gauge",
            "value": 21.5,
            "attributes.room": "a",
        },
        {
            **common,
            **scope,
            "t": US,
            "name": "requests",
            "kind": "sum",
            "aggregationTemporality": 2,
            "isMonotonic": True,
            "startTimeUnixNano": NS - 5,
            "value": 7.0,
        },
        {
            **common,
            "t": US,
            "scope.schemaUrl": "u",
            "name": "latency",
            "kind": "histogram",
            "count": 3,
            "sum": 1.5,
            "bucketCounts": '["1","2"]',
            "explicitBounds": "[0.5]",
        },
        {**common, **scope, "t": US + 1, "name": "temp", "unit": "Cel", "kind": "gauge"},
    ]
    options = {"key": "resource.service.name"}
    for text in (json.dumps(document), json.dumps(document, indent=1)):
        rows, rejects = in_any_pieces(lambda text=text: taken(text, "otlp", **options))
        assert rejects == []
        by = lambda r: (r["t"], r["name"])  # noqa: E731
        assert sorted(rows, key=by) == sorted(expected, key=by)


def test_otlp_logs() -> None:
    body = {
        "kvlistValue": {
            "values": attributes(a={"intValue": "1"}, b={"arrayValue": {"values": [{"boolValue": True}, {}]}})
        }
    }
    records = [
        {
            "timeUnixNano": str(NS),
            "severityNumber": 9,
            "severityText": "INFO",
            "body": {"stringValue": "hello"},
            "attributes": attributes(http__status={"intValue": 200}),
            "traceId": "5b8efff798038103d269b633813fc60c",
        },
        {"timeUnixNano": "0", "observedTimeUnixNano": str(NS + 2000), "severityText": "WARN", "body": body},
        {"severityText": "ERROR"},
    ]
    text = (
        json.dumps({"resourceLogs": [{"resource": RESOURCE, "scopeLogs": [{"scope": {}, "logRecords": records}]}]})
        + "\n"
    )
    rows, rejects = in_any_pieces(lambda: taken(text * 2, "otlp", key="resource.service.name"))
    common = {"k": "shop", "resource.host.cpus": 4}
    first = {
        **common,
        "t": US,
        "severityNumber": 9,
        "severityText": "INFO",
        "body": "hello",
        "attributes.http.status": 200,
        "traceId": "5b8efff798038103d269b633813fc60c",
    }
    second = {**common, "t": US + 2, "severityText": "WARN", "body.a": 1, "body.b": "[true,null]", "timeUnixNano": 0}
    assert rows == [first, first, second, second]
    assert [(r[0], r[2], r[3]) for r in rejects] == [
        (1, "time: column time is missing or null", '{"severityText": "ERROR"}')
    ]


def test_otlp_traces(lake: Lake) -> None:
    span = {
        "traceId": "a",
        "spanId": "b",
        "name": "GET /",
        "kind": 2,
        "startTimeUnixNano": str(NS),
        "endTimeUnixNano": str(NS + 9),
        "attributes": attributes(d={"doubleValue": 0.5}, e={"doubleValue": "Infinity"}),
        "events": [{"name": "x"}],
        "status": {"code": 1},
    }
    lake.text(
        json.dumps({"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": [span]}]}]}),
        format="otlp",
        key="resource.service.name",
        time=None,
        unit=None,
    )
    assert lake.rows() == [
        {
            "k": "shop",
            "t": US,
            "resource.host.cpus": 4,
            "traceId": "a",
            "spanId": "b",
            "name": "GET /",
            "kind": 2,
            "endTimeUnixNano": NS + 9,
            "attributes.d": 0.5,
            "events": '[{"name":"x"}]',
            "status.code": 1,
        }
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"x":1}', "otlp: the document has none of resourceMetrics, resourceLogs, resourceSpans"),
        (
            '{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[{"key":"a"},{"key":"a"}]}]}]}]}',
            "otlp: the attribute a occurs twice",
        ),
        ('{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"attributes":[5]}]}]}]}', "otlp: an attribute without a key"),
        ('{"resourceLogs":[{"scopeLogs":[{"logRecords":[5]}]}]}', "JSON: not an object"),
    ],
)
def test_otlp_that_does_not_fit(lake: Lake, text: str, reason: str) -> None:
    with pytest.raises(IngestError, match=reason):
        lake.text(text, format="otlp", key="k", time=None, unit=None)
