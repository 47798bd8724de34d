"""``dataflow retain``: what it says, asks and refuses; queries below the floor."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store
from runtime.errors import StoreError
from runtime.upkeep import retaining

DAY = 86_400


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Ten days of a point each, in one file."""
    monkeypatch.chdir(tmp_path)
    days = [1_704_067_200 + n * DAY for n in range(10)]
    store = Store("store", create=True)
    columns = {"k": ["a"] * 10, "t": days, "on": [n < 2 or None for n in range(10)], "v": [*range(10)]}
    store.ingest("s", columns, key="k", time="t", unit="s", progress=False)
    (tmp_path / "m.py").write_text(
        "import dataflow as df\n"
        's = df.stream("s")\n'
        'up = s.state_duration(df.col("on")).group_by("k").agg(up=df.duration(df.col("on")))\n'
        'run = s.with_columns(c=df.col("v").cumulative_sum()).group_by("k").agg(c=df.max("c"))\n'
    )
    return store


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main([*words])
    out, err = capsys.readouterr()
    return code, out, err


def test_points_are_retired(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("query", "store", "m.py:up", "--since", "2024-01-08", "--format", "json")
    before = json.loads(said(capsys, *asked)[1])
    assert said(capsys, "retain", "store", "s", "--keep", "3d", "--dry-run") == (
        0, "s: would retire 6 of 10 points, those before 2024-01-07, in 1 file\n", "",
    )  # fmt: skip
    assert said(capsys, "retain", "store", "s")[1] == "s: nothing is retired; no policy: all others are kept\n"
    code, out, err = said(capsys, "retain", "store", "s", "--keep", "3d")
    assert (code, out) == (2, "")
    assert "there is no terminal to ask: give --yes" in err
    code, out, err = said(capsys, "retain", "store", "s", "--keep", "3d", "--yes", "--always")
    assert (code, err) == (0, "")
    assert out == (
        "s: retired 6 of 10 points, those before 2024-01-07, in 1 file; kept 2 rows with each key's last values; "
        "`dataflow optimize` keeps 3d from now on\n"
    )
    assert json.loads(said(capsys, "retain", "store", "s", "--json")[1]) == {
        "stream": "s", "floor": "2024-01-07", "policy": "3d",
    }  # fmt: skip
    after = json.loads(said(capsys, *asked)[1])
    assert before["rows"] == after["rows"] == [["a", 172_800_000_001]]
    assert before["proof"]["result"] == after["proof"]["result"]
    (note,) = after["proof"]["notes"]
    assert note == "points before 2024-01-07 are retired; each key's last values from before it are known"
    assert said(capsys, "verify", "store")[0] == 0
    code, out, err = said(capsys, "optimize", "store")
    assert "s: there are no points before 2024-01-07 to retire" in out


def test_what_is_below_the_floor_has_to_be_asked_for(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")[0] == 0
    for since, why in (
        ("2024-01-03", "the points of s before 2024-01-04 are retired: ask from that day on"),
        ("2024-01-05", "this metric looks back at all points before the range"),
    ):
        for command in ("query", "explain"):
            code, out, err = said(capsys, command, "store", "m.py:run", "--since", since)
            assert code == 1
            assert out == ""
            assert why in err
            assert "--below-floor" in err
    code, out, err = said(capsys, "query", "store", "m.py:run", "--since", "2024-01-03", "--below-floor")
    assert code == 0
    assert " 42" in out
    note = "points before 2024-01-04 are retired, and this answer does not take them into account"
    assert note in " ".join((out + err).split())


def test_late_rows_are_rejected(store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    rows = [{"k": "b", "t": 1_704_067_200 + n * DAY, "v": n} for n in (2, 3)]
    (tmp_path / "late.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, _ = said(capsys, "ingest", "store", "s", "late.ndjson")
    assert code == 0
    assert "1 x time: column t is before 2024-01-04: earlier points of the stream are retired" in out
    table = {"k": ["c", "c"], "t": [row["t"] for row in rows], "v": [1, 2]}
    assert store.ingest("s", table, unit="s", progress=False).rejected == 1
    assert [row[:1] for row in store.head("s", 1).to_dict()["rows"]] == [["a"]]
    assert store.streams()[0].first_time == (1_704_067_200 + 3 * DAY) * 1_000_000


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["s", "--keep", "5h"], "keep at least '1d'"),
        (["s", "--keep", "400"], "is not a duration"),
        (["s", "--before", "2024-01-04T05:00:00"], "give a date, such as 2024-03-01"),
        (["s", "--before", "2024-02-01"], "use `dataflow erase`"),
        (["s", "--before", "soon"], "is not a time"),
        (["s", "--keep", "3d", "--before", "2024-01-04"], "not allowed with"),
        (["s", "--before", "2024-01-04", "--always"], "--always is with --keep"),
        (["other", "--keep", "3d"], "there is no stream 'other'"),
    ],
    ids=["hours", "no unit", "within a day", "all of it", "no date", "both", "always before", "no stream"],
)
def test_mistakes(store: Store, capsys: pytest.CaptureFixture[str], words: list[str], why: str) -> None:
    files = len(store.files("s"))
    try:
        code = main(["retain", "store", *words, "--yes"])
    except SystemExit as end:
        code = int(str(end.code))
    assert code != 0
    assert why in capsys.readouterr().err
    assert len(store.files("s")) == files


def test_a_policy_ends(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "keeps 100d from now on" in said(capsys, "retain", "store", "s", "--keep", "100d", "--always", "--yes")[1]
    assert "no policy" in said(capsys, "retain", "store", "s", "--for-ever")[1]
    assert "no policy" in said(capsys, "retain", "store", "s")[1]


def test_sources_with_retired_points_stay(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    later = {"k": ["a"], "t": [1_704_067_200 + 9 * DAY + 5], "v": [100]}
    store.ingest("s", later, unit="s", progress=False)
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    newest, oldest = (source.entry.id for source in store.sources("s"))
    code, _, err = said(capsys, "undo", "store", "s", oldest)
    assert code == 1
    assert "a source with points before 2024-01-04 cannot be taken back" in err
    assert said(capsys, "undo", "store", "s", newest)[0] == 0
    assert len(store.head("s", 100).to_dict()["rows"]) == 7


def test_a_source_of_retired_points_is_kept_with_the_rejects(
    store: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    (tmp_path / "old.ndjson").write_text('{"k": "b", "t": 1704067200, "v": 1}\n')
    code, out, _ = said(capsys, "ingest", "store", "s", "old.ndjson")
    assert code == 0
    assert "0 rows in 0 files, 1 rejected" in out
    assert "earlier points of the stream are retired" in said(capsys, "rejects", "store", "s")[1]


def test_a_range_that_ends_below_the_floor(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    code, _, err = said(capsys, "query", "store", "m.py:up", "--until", "2024-01-03")
    assert code == 1
    assert "the points of s before 2024-01-04 are retired" in err
    code, out, err = said(capsys, "query", "store", "m.py:up")
    assert code == 0
    assert "points before 2024-01-04 are retired" in out + err


def test_a_stream_that_is_erased_has_no_policy(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "retain", "store", "s", "--keep", "3d", "--always", "--yes")
    assert said(capsys, "erase", "store", "s", "--yes")[0] == 0
    assert said(capsys, "retain", "store", "s")[1] == "s: nothing is retired; no policy: all others are kept\n"


def test_what_is_carried_in_of_a_key_is_erased(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    old = {"k": ["b", "c"], "t": [1_704_067_200, 1_704_067_201], "on": [True, True]}
    store.ingest("s", old, unit="s", progress=False)
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    assert said(capsys, "erase", "store", "s", "--key", "b", "--yes")[0] == 0
    assert said(capsys, "verify", "store")[0] == 0
    asked = ("query", "store", "m.py:up", "--since", "2024-01-08", "--format", "json")
    assert [row[0] for row in json.loads(said(capsys, *asked)[1])["rows"]] == ["a", "c"]
    snapshot = store.catalogue.snapshot("s")
    assert [snapshot.is_carried(file) for file in snapshot.files] == [True, False]


def test_nothing_is_retired_where_nothing_is_old_enough(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "retain", "store", "s", "--keep", "1000d", "--yes")[1] == (
        "s: there are no points before 2021-04-15 to retire\n"
    )
    assert "before 1970-01-01 to retire" in said(capsys, "retain", "store", "s", "--keep", "3000000d", "--yes")[1]
    assert store.catalogue.snapshot("s").floor is None


@pytest.mark.parametrize("command", ["head", "describe", "export"])
def test_points_below_the_floor_are_not_shown_as_if_they_were_none(
    store: Store, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    said(capsys, "retain", "store", "s", "--before", "2024-01-04", "--yes")
    more = ("--to", "out.csv") if command == "export" else ()
    code, out, err = said(capsys, command, "store", "s", "--since", "2024-01-03", *more)
    assert (code, out) == (1, "")
    assert "the points of s before 2024-01-04 are retired: ask from that day on" in err
    assert said(capsys, command, "store", "s", "--since", "2024-01-04", *more)[0] == 0


def test_a_policy_is_asked_about_even_if_nothing_goes_today(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = said(capsys, "retain", "store", "s", "--keep", "100d", "--always")
    assert code == 2
    assert "give --yes" in err
    assert "no policy" in said(capsys, "retain", "store", "s")[1]
    said(capsys, "retain", "store", "s", "--keep", "100d", "--always", "--yes")
    said(capsys, "retain", "store", "s", "--for-ever", "--dry-run")
    assert "keeps 100d from now on" in said(capsys, "retain", "store", "s")[1]


def test_a_policy_that_cannot_be_written_says_why(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, data: bytes) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(store.objects, "put", refuse)
    with pytest.raises(StoreError, match="the disk is full"):
        retaining.set_policy(store.objects, "s", "3d")
