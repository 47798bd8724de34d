"""Every preset reads a file as its source writes it; what is given explicitly wins; an unknown one is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import IngestError
from runtime.ingest.formats import check_format, formats
from runtime.ingest.inputs.presets import PRESETS
from runtime.ingest.inputs.reading import Reading
from tests.runtime.ingest.formats.preset_files import FILES, START, US
from tests.runtime.ingest.lake import Lake

NONE: dict[str, Any] = {"key": None, "time": None, "unit": None}


GIVEN: dict[str, dict[str, Any]] = {"logfmt": {"key": "host"}}
"""What has to be said beside the preset."""


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_reads_its_files(lake: Lake, tmp_path: Any, name: str) -> None:
    content, expected = FILES[name]
    path = tmp_path / "sensor-7.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    report = lake.ingest(str(path), preset=name, **{**NONE, **GIVEN.get(name, {})})
    assert report.rejected == 0
    assert lake.rows() == expected


def test_every_preset_has_a_file_and_a_format() -> None:
    assert list(FILES) == list(PRESETS) == sorted(PRESETS)
    for name, preset in PRESETS.items():
        check_format(preset.format)
        Reading.of(preset.reading)
        assert 0 < len(preset.about) < 100, name
    for made in formats():
        assert len(made.about) < 110


def test_what_is_given_wins(lake: Lake) -> None:
    text = json.dumps({"a": {"b": [{"station_id": "1", "x": "y", "last_reported": START, "at": START * 1000}]}})
    lake.text(text, preset="gbfs", key="x", time="at", unit="ms", records="a.b")
    assert lake.rows() == [{"k": "y", "t": US, "station_id": "1", "last_reported": START}]
    columns = json.dumps({"d": {"station_id": ["1"], "last_reported": [START]}})
    lake.text(columns, preset="gbfs", columnar="d", stream="other", **NONE)
    assert lake.rows("other") == [{"k": "1", "t": US}]
    lake.text(
        "station_id,last_reported\n1,1704067200\n",
        preset="mixpanel",
        format="csv",
        key="station_id",
        time="last_reported",
        unit="s",
        stream="third",
    )
    assert lake.rows("third") == [{"k": "1", "t": US}]


def test_the_streams_own_win(lake: Lake) -> None:
    """A stream keeps its key, time and unit, whatever the preset says."""
    text = "cpu,host=a v=1i 1704067200\n"
    lake.text(text, format="line-protocol", key="host", time="time", unit="s")
    lake.text(text.replace("v=1i", "v=2i"), preset="line-protocol", **NONE)
    assert [(r["k"], r["t"], r["v"]) for r in lake.rows()] == [("a", US, 1), ("a", US, 2)]


def test_a_format_has_the_defaults_of_its_preset(lake: Lake) -> None:
    lake.text(FILES["line-protocol"][0], format="line-protocol", **NONE)
    assert lake.rows() == FILES["line-protocol"][1]


def test_unknown_presets(lake: Lake) -> None:
    with pytest.raises(IngestError, match=r"preset 'cloudtrial' is unknown: did you mean 'cloudtrail'.*azure-iot, "):
        lake.text("", preset="cloudtrial")


def test_what_no_preset_knows_is_needed(lake: Lake) -> None:
    with pytest.raises(IngestError, match=r"the stream s is new: say which column is its key \(--key\)"):
        lake.text("", preset="logfmt", **NONE)


def test_rows_in_the_future_are_read_again_as_before(
    lake: Lake, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The options of the preset are those of the first time, though none is given again."""
    path = tmp_path / "stations.json"
    monkeypatch.setattr("runtime.ingest.columns.event_times.time.time_ns", lambda: (START - 7200) * 10**9)
    early = json.loads(FILES["gbfs"][0])
    early["data"]["stations"].append({**early["data"]["stations"][0], "last_reported": START - 9000})
    path.write_text(json.dumps(early))
    lake.ingest(path, preset="gbfs", **NONE)
    assert len(lake.rows()) == 1
    monkeypatch.undo()
    lake.ingest(path, **NONE)
    assert [r["t"] for r in lake.rows()] == [US - 9000 * 1_000_000, US]
