"""``dataflow formats`` lists every form and preset; ``dataflow ingest --preset`` needs no other option."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from deploy.cli import main
from runtime.ingest.formats import names
from runtime.ingest.inputs.presets import PRESETS


def test_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats"]) == 0
    head, _, *rows, count = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0].strip() == "name"
    assert [text in head for text in ("what it is", "what it sets")] == [True, True]
    listed = [row.split()[0] for row in rows]
    assert sorted(listed) == sorted({*names(), *PRESETS} - {"auto"})
    assert count.split() == [str(len(listed)), "rows"]
    by_name = dict(zip(listed, rows, strict=True))
    assert "--format json --key station_id --time last_reported --unit s --records data.stations" in by_name["gbfs"]
    assert by_name["line-protocol"].endswith("--key series --time time --unit ns")


def test_what_is_shown_can_be_typed() -> None:
    """The options of each preset, as the list writes them, are options of ``dataflow ingest``."""
    from deploy.cli import command_parser
    from deploy.commands import COMMANDS
    from deploy.commands.format_list import _written

    parser = command_parser("ingest", COMMANDS["ingest"])
    for preset in PRESETS.values():
        options = parser.parse_args(["s", "t", "f", *shlex.split(_written(preset.sets()))])
        assert (options.key, options.time, options.unit) == (preset.key, preset.time, preset.unit)


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["formats", "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found) == ["formats", "presets"]
    assert {f["name"] for f in found["formats"]} == set(names()) - {"auto"}
    assert {p["name"]: p["sets"] for p in found["presets"]}["sns"] == {
        "format": "json", "key": "TopicArn", "time": "Timestamp", "json": ["Message"],
    }  # fmt: skip


def test_a_preset_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "access.log"
    log.write_text('::1 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 200 5 "-" "curl"\n')
    store = str(tmp_path / "store")
    assert main(["ingest", store, "web", str(log), "--preset", "combined"]) == 0
    assert main(["ingest", store, "more", str(log), "--format", "clf"]) == 0
    assert main(["ingest", store, "lines", str(log), "--preset", "logfmt"]) == 2
    assert "the stream lines is new: --key and --time are needed" in capsys.readouterr().err
    assert main(["ingest", store, "web", str(log), "--preset", "combine"]) == 2
    assert "did you mean 'combined'?" in capsys.readouterr().err


def test_key_and_time_of_several_fields_are_the_streams(tmp_path: Path) -> None:
    """They are said once, and known after that; one key for all of a file needs no name."""
    store = str(tmp_path / "store")
    for day in (1, 2):
        (tmp_path / f"{day}.json").write_text(f'{{"a":"x","b":"y","d":"2024-01-0{day}","c":"00:00:00"}}\n')
    assert main(["ingest", store, "s", str(tmp_path / "1.json"), "--key", "a,b", "--time", "d,c"]) == 0
    assert main(["ingest", store, "s", str(tmp_path / "2.json")]) == 0
    assert main(["ingest", store, "t", str(tmp_path / "2.json"), "--key-value", "{stem}", "--time", "d,c"]) == 0
    assert main(["ingest", store, "t", str(tmp_path / "1.json"), "--key-value", "{stem}"]) == 0
