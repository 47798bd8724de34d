"""An ingest that takes sources back in its own commits."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from runtime import Store
from runtime.errors import IngestError
from runtime.ingest import SourcesFailed
from runtime.ingest.report import IngestReport
from runtime.upkeep.taking_back import TakingBack

FORM = {"key": "k", "time": "t", "progress": False}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    return Store(tmp_path / "store", create=True)


def put(store: Store, name: str, *values: int, time: str = "2024-06-01 12:00:00", **more: object) -> IngestReport:
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text("k,t,v\n" + "".join(f"a,{time},{v}\n" for v in values))
    return store.ingest("s", name, **{**FORM, **more})  # type: ignore[arg-type]


def values(store: Store) -> list[object]:
    return sorted(store.head("s", rows=50).columns["v"].to_list())


def test_the_report_says_what_was_taken_back(store: Store) -> None:
    put(store, "a.csv", 1, 2)
    report = put(store, "a.csv", 3, replace=True)
    assert "a.csv: 1 row in 1 file, in the place of 2 rows of a.csv, which were taken back" in str(report)
    assert (report.sources[0].replaced, report.sources[0].replaced_rows) == (("a.csv",), 2)
    assert values(store) == [3]
    assert "in the place" not in str(put(store, "b.csv", 4))


def test_a_file_whose_name_no_source_has_is_taken_as_new(store: Store) -> None:
    put(store, "in/a.csv", 1)
    Path("in/b.csv").write_text("k,t,v\na,2024-06-02,5\n")
    Path("in/a.csv").write_text("k,t,v\na,2024-06-02,6\n")
    text = str(store.ingest("s", "in/a.csv", "in/b.csv", replace=True, progress=False))
    assert "in/a.csv: 1 row in 1 file, in the place of 1 row of in/a.csv, which was taken back" in text
    assert "in/b.csv: 1 row in 1 file, in the place of none: no source of this name was in the stream" in text
    assert values(store) == [5, 6]


def test_a_stream_that_is_new(store: Store) -> None:
    assert "in the place of none" in str(put(store, "a.csv", 1, replace=True))


def test_a_file_with_a_name_like_an_id_replaces_no_other(store: Store) -> None:
    put(store, "a.csv", 1)
    name = store.sources("s")[0].short
    put(store, name, 2, replace=True)
    assert values(store) == [1, 2]


def test_a_file_that_was_read_with_wrong_options_is_read_anew(store: Store) -> None:
    put(store, "a.csv", 1, time_zone="America/New_York")
    assert "--replace reads it anew" in str(put(store, "a.csv", 1, time_zone="Europe/Berlin"))
    report = put(store, "a.csv", 1, time_zone="Europe/Berlin", replace=True)
    assert report.committed == 1
    assert store.head("s").columns["t"].to_list() == [1_717_236_000_000_000]
    (source,) = store.sources("s")
    assert source.entry.options["time_zone"] == "Europe/Berlin"
    assert put(store, "a.csv", 1, time_zone="Europe/Berlin", replace=True).sources[0].replaced_rows == 1
    put(store, "a.csv", 1, time_zone="Asia/Tokyo", replace="a.csv")
    assert store.head("s").columns["t"].to_list() == [1_717_210_800_000_000]
    assert store.verify().ok


def test_the_same_bytes_under_another_name_are_read_anew_too(store: Store) -> None:
    put(store, "a.csv", 1)
    report = put(store, "b.csv", 1, replace=True)
    assert report.sources[0].replaced == ("a.csv",)
    assert values(store) == [1]


def test_one_input_takes_the_place_of_a_named_source(store: Store) -> None:
    put(store, "a.csv", 1)
    for name in ("b", "c"):
        Path(f"{name}.csv").write_text(f"k,t,v\n{name},2024-06-01,9\n")
    with zipfile.ZipFile("both.zip", "w") as archive:
        archive.write("b.csv")
        archive.write("c.csv")
    for inputs in (("b.csv", "c.csv"), ("[bc].csv",), ("both.zip",)):
        with pytest.raises(IngestError, match="one input takes the place of a source, not 2: nothing was done"):
            store.ingest("s", *inputs, replace="a.csv", progress=False)
    assert values(store) == [1]


def test_the_same_command_again(store: Store) -> None:
    put(store, "old.csv", 1)
    put(store, "new.csv", 2, replace="old.csv")
    report = put(store, "new.csv", 2, replace="old.csv")
    assert str(report).startswith("new.csv: already ingested; nothing was taken back")
    with pytest.raises(IngestError, match=r"replaces nothing, and was not ingested: no source 'old\.csv'"):
        put(store, "third.csv", 3, replace="old.csv")
    assert values(store) == [2]


def test_a_name_of_several_sources_is_a_failure_of_one_file(store: Store) -> None:
    put(store, "a.csv", 1)
    put(store, "a.csv", 2)
    Path("a.csv").write_text("k,t,v\na,2024-06-01,3\n")
    Path("b.csv").write_text("k,t,v\na,2024-06-01,4\n")
    with pytest.raises(SourcesFailed) as failed:
        store.ingest("s", "b.csv", "a.csv", replace=True, progress=False)
    assert "b.csv: 1 row" in str(failed.value.report)
    assert "a.csv: failed: a.csv replaces nothing, and was not ingested: 'a.csv' fits 2" in str(failed.value.report)
    assert values(store) == [1, 2, 4]


def test_a_compaction_that_was_faster(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store, "a.csv", 1, 2)
    put(store, "b.csv", 3)
    inner, calls = TakingBack.taken_back, []

    def taken_back(self: TakingBack, *given: object) -> object:
        found = inner(self, *given)  # type: ignore[arg-type]
        calls.append(given)
        if len(calls) == 1:
            store.compact("s", progress=False)
        return found

    monkeypatch.setattr(TakingBack, "taken_back", taken_back)
    report = put(store, "a.csv", 4, replace=True)
    assert len(calls) == 2
    assert (report.sources[0].replaced_rows, values(store)) == (2, [3, 4])
    assert store.verify().ok
