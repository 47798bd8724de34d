"""Documents of known shapes: Prometheus, GeoJSON, Kubernetes, ThingsBoard, Home Assistant, Open-Meteo."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import IngestError
from tests.runtime.ingest.formats.preset_files import START, US
from tests.runtime.ingest.formats.test_web_logs import taken
from tests.runtime.ingest.lake import Lake
from tests.runtime.ingest.records.pieces import in_any_pieces

# ---- Prometheus


def prometheus(kind: str, result: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}})


UP = {"__name__": "up", "job": "node", "instance": 'a:9100"'}


def test_prometheus_matrix() -> None:
    text = prometheus(
        "matrix",
        [
            {"metric": UP, "values": [[START, "1"], [START + 0.781, "NaN"], [START + 2, "+Inf"], [START + 3, "x"], 7]},
            {
                "metric": {},
                "values": [[START, "-2.5e3"]],
                "histograms": [[START + 1, {"count": "3", "sum": "4.5", "buckets": [[0, "1", "2", "3"]]}]],
            },
        ],
    )
    common = {"status": "success", "data.resultType": "matrix"}
    up = {"k": 'up{instance="a:9100\\"",job="node"}', **{f"metric.{n}": v for n, v in UP.items()}, **common}
    rows, rejects = in_any_pieces(lambda: taken(text, "prometheus"))
    assert rows == [
        {"k": up["k"], "t": US, "value": 1.0, **{n: v for n, v in up.items() if n != "k"}},
        {**up, "t": US + 781_000},
        {**up, "t": US + 2_000_000},
        {"k": "{}", "t": US, "value": -2500.0, **common},
        {
            "k": "{}",
            "t": US + 1_000_000,
            "histogram.count": 3.0,
            "histogram.sum": 4.5,
            "histogram.buckets": '[[0,"1","2","3"]]',
            **common,
        },
    ]
    assert [(r[2], r[3]) for r in rejects] == [
        ("prometheus: 'x' is no value of a sample", f'[{START + 3}, "x"]'),
        ("prometheus: a sample that is no pair of time and value", "7"),
    ]


def test_prometheus_other_results() -> None:
    vector = prometheus("vector", [{"metric": UP, "value": [START, "0"]}])
    assert [r["value"] for r in taken(vector, "prometheus", key="metric.job")[0]] == [0.0]
    scalar = prometheus("scalar", [START, "1.5"])
    assert taken(scalar, "prometheus", key="status")[0] == [
        {"k": "success", "t": US, "value": 1.5, "data.resultType": "scalar"}
    ]
    text = prometheus("string", [START, "hello"])
    assert taken(text, "prometheus", key="status")[0][0]["value"] == "hello"


def test_prometheus_error(lake: Lake) -> None:
    with pytest.raises(IngestError, match=r"there is no data.result; the document has status, errorType, error"):
        lake.text(
            '{"status":"error","errorType":"bad_data","error":"x"}', format="prometheus", key=None, time=None, unit=None
        )


# ---- GeoJSON


def feature(id: Any, geometry: Any, **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": id, "geometry": geometry, "properties": properties}


def test_geojson() -> None:
    features = [
        feature("a", {"type": "Point", "coordinates": [8.5, 47.4, 410]}, time=START * 1000, mag=1.5, type="quake"),
        feature("b", {"type": "Point", "coordinates": [8.25, 47.5]}, time=START * 1000),
        feature("c", {"type": "LineString", "coordinates": [[1, 2], [3, 4]]}, time=START * 1000),
        feature("d", None, time=START * 1000),
    ]
    rows = [
        {
            "k": "a",
            "t": US,
            "lon": 8.5,
            "lat": 47.4,
            "alt": 410,
            "geometry.type": "Point",
            "properties.mag": 1.5,
            "properties.type": "quake",
        },
        {"k": "b", "t": US, "lon": 8.25, "lat": 47.5, "geometry.type": "Point"},
        {"k": "c", "t": US, "geometry.type": "LineString", "geometry.coordinates": "[[1,2],[3,4]]"},
        {"k": "d", "t": US},
    ]
    collection = json.dumps(
        {"type": "FeatureCollection", "metadata": {"count": 4}, "features": [*features, {"type": "x"}]}
    )
    found, rejects = in_any_pieces(lambda: taken(collection, "geojson", unit="ms"))
    assert found == [{**row, "metadata.count": 4} for row in rows]
    assert [(r[2], r[3]) for r in rejects] == [("geojson: not a feature", '{"type": "x"}')]
    for before in ("", "\x1e"):
        lines = "".join(f"{before}{json.dumps(f)}\n" for f in features)
        assert in_any_pieces(lambda lines=lines: taken(lines, "geojson", unit="ms")) == (rows, [])


# ---- Kubernetes


def test_kubernetes_times() -> None:
    at = "2024-01-01T00:00:0{}Z".format
    events = [
        {
            "kind": "Event",
            "involvedObject": {"name": "a"},
            "lastTimestamp": at(1),
            "metadata": {"creationTimestamp": at(0)},
        },
        {
            "kind": "Event",
            "involvedObject": {"name": "b"},
            "lastTimestamp": None,
            "eventTime": "2024-01-01T00:00:02.500000Z",
        },
        {
            "kind": "Event",
            "involvedObject": {"name": "c"},
            "series": {"lastObservedTime": at(3), "count": 2},
            "eventTime": at(2),
        },
        {"kind": "Pod", "involvedObject": {"name": "d"}, "metadata": {"creationTimestamp": at(4)}},
        {"kind": "Pod", "involvedObject": {"name": "e"}, "time": at(5)},
    ]
    options = {"key": "involvedObject.name"}
    text = json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": events, "metadata": {"resourceVersion": "7"}}, indent=4
    )
    rows, rejects = in_any_pieces(lambda: taken(text, "kubernetes", **options))
    assert rejects == []
    assert [(r["k"], r["t"] - US) for r in rows] == [
        ("a", 1_000_000),
        ("b", 2_500_000),
        ("c", 3_000_000),
        ("d", 4_000_000),
        ("e", 5_000_000),
    ]
    assert {r["list.resourceVersion"] for r in rows} == {"7"}
    assert [r["kind"] for r in rows] == ["Event", "Event", "Event", "Pod", "Pod"]
    alone, _ = taken("\n".join(json.dumps(e, indent=4) for e in events), "kubernetes", **options)
    assert [(r["k"], r["t"]) for r in alone] == [(r["k"], r["t"]) for r in rows]
    typed = json.dumps({"kind": "PodList", "items": [{"involvedObject": {"name": "x"}, "lastTimestamp": at(1)}]})
    assert taken(typed, "kubernetes", **options)[0][0]["kind"] == "Pod"


# ---- ThingsBoard


def test_thingsboard() -> None:
    text = json.dumps(
        {
            "sn": [{"ts": START * 1000, "value": "x7"}, {"ts": START * 1000 + 1, "value": "x7"}],
            "temperature": [
                {"ts": START * 1000 + 1, "value": "21.5"},
                {"ts": START * 1000, "value": "20.5"},
                {"ts": 1},
            ],
            "on": [{"ts": START * 1000, "value": "true"}],
        }
    )
    rows, rejects = in_any_pieces(lambda: taken(text, "thingsboard", key="sn", key_value=None))
    assert rows == [
        {"k": "x7", "t": US, "temperature": 20.5, "on": True},
        {"k": "x7", "t": US + 1000, "temperature": 21.5},
    ]
    assert [(r[2], r[3]) for r in rejects] == [("thingsboard: not an object of ts and value", '{"ts": 1}')]


def test_thingsboard_of_one_time_twice() -> None:
    point = {"ts": START * 1000, "value": "1"}
    rows, _ = taken(
        json.dumps({"sn": [point | {"value": "a"}] * 2, "n": [point, point | {"value": "2"}]}), "thingsboard", key="sn"
    )
    assert [r["n"] for r in rows] == [1, 2]


@pytest.mark.parametrize("frame", ["{}", "[{}]"])
def test_thingsboard_uploads(frame: str) -> None:
    point = json.dumps({"ts": START * 1000, "values": {"sn": "x7", "temperature": 21.5}})
    rows, _ = taken(frame.replace("{}", point), "thingsboard", key="sn")
    assert rows == [{"k": "x7", "t": US, "temperature": 21.5}]


def test_thingsboard_that_does_not_fit(lake: Lake) -> None:
    options: dict[str, Any] = {"format": "thingsboard", "key": "sn", "time": None, "unit": None}
    for text, reason in {
        '{"a":5}': "a is not an array of ts and value",
        '{"ts":[]}': "a series with the name ts",
        '[{"ts":1}]': "not {.ts.: ..., .values.: {...}}",
    }.items():
        with pytest.raises(IngestError, match=reason):
            lake.text(text, **options)


# ---- Home Assistant

STATES = [
    {
        "entity_id": "sensor.t",
        "state": "21.5",
        "last_changed": "2024-01-01T00:00:00+00:00",
        "attributes": {"unit": "°C"},
    },
    {"state": "22", "last_changed": "2024-01-01T01:00:00+01:00"},
    {"entity_id": "sensor.t", "state": "unavailable", "last_changed": "2024-01-01T00:00:02+00:00", "attributes": {}},
]


def test_home_assistant() -> None:
    text = json.dumps(
        [
            STATES[:2],
            [],
            [{**STATES[0], "entity_id": "sensor.u"}],
            [{"state": "1", "last_changed": "2024-01-01T00:00:00Z"}],
        ]
    )
    rows, rejects = in_any_pieces(lambda: taken(text, "home-assistant"))
    assert rows == [
        {"k": "sensor.t", "t": US, "state": 21.5, "attributes.unit": "°C"},
        {"k": "sensor.t", "t": US, "state": 22.0},
        {"k": "sensor.u", "t": US, "state": 21.5, "attributes.unit": "°C"},
    ]
    assert [r[2] for r in rejects] == ["key: column entity_id is missing or null"]


def test_home_assistant_states() -> None:
    """The present states are an array of objects; a state on its own is one."""
    assert len(taken(json.dumps([STATES[0], STATES[0]]), "home-assistant")[0]) == 2
    assert len(taken(json.dumps(STATES[0]), "home-assistant")[0]) == 1


# ---- Open-Meteo


def weather(**more: Any) -> dict[str, Any]:
    return {
        "latitude": 52.52,
        "longitude": 13.4,
        "utc_offset_seconds": 0,
        "timezone": "GMT",
        "hourly_units": {"time": "iso8601"},
        "hourly": {"time": ["2024-01-01T00:00", "2024-01-01T01:00"], "temperature_2m": [1.5, None]},
        "daily": {"time": ["2024-01-01"], "sunrise": ["2024-01-01T08:16"]},
        **more,
    }


def test_open_meteo() -> None:
    row = {
        "k": "GMT",
        "latitude": 52.52,
        "longitude": 13.4,
        "utc_offset_seconds": 0,
        "hourly_units.time": "iso8601",
        "daily.time": '["2024-01-01"]',
        "daily.sunrise": '["2024-01-01T08:16"]',
    }
    rows = [{**row, "t": US, "temperature_2m": 1.5}, {**row, "t": US + 3_600_000_000}]
    text = json.dumps(weather())
    assert in_any_pieces(lambda: taken(text, "open-meteo", key="timezone")) == (rows, [])
    both = json.dumps([weather(), weather(timezone="x")])
    assert [r["k"] for r in taken(both, "open-meteo", key="timezone")[0]] == ["GMT", "GMT", "x", "x"]


@pytest.mark.parametrize(("offset", "before"), [(0, 0), (3600, 1), (-18000, -5), (20700, 5.75), (-12600, -3.5)])
def test_open_meteo_local_times(offset: int, before: float) -> None:
    text = json.dumps(weather(utc_offset_seconds=offset))
    rows, _ = taken(text, "open-meteo", key="timezone")
    assert [r["t"] for r in rows] == [US - int(before * 3_600_000_000), US + int((1 - before) * 3_600_000_000)]
    daily, _ = taken(text, "open-meteo", key="timezone", columnar="daily")
    assert [(r["t"], r["sunrise"]) for r in daily] == [(US - int(before * 3_600_000_000), "2024-01-01T08:16")]


def test_open_meteo_in_unix_time() -> None:
    text = json.dumps(weather(utc_offset_seconds=3600, hourly={"time": [START], "x": [1]}))
    assert [r["t"] for r in taken(text, "open-meteo", key="timezone", unit="s")[0]] == [US]
