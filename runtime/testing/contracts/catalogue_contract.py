"""The contract of every ``Catalogue``. A subclass provides the fixture ``catalogue`` (an empty one)."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    AttemptSwept,
    Catalogue,
    Committed,
    FileEntry,
    SourceEntry,
    StreamSchema,
    file_path,
    new_attempt,
    set_hash,
)
from runtime.errors import IngestError, QueryError, SchemaConflict, StoreError

D = 19_800
SCHEMA = StreamSchema("device", Type.STRING, "ts", {"temp": Type.INT}, unit="ms")


def source(name: str, **more: Any) -> SourceEntry:
    """The entry of a source of 100 bytes."""
    return replace(SourceEntry(hashlib.sha256(name.encode()).hexdigest(), name, 100), **more)


def files(stream: str, attempt: str, *days: int, rows: int = 10) -> list[FileEntry]:
    """Entries of one file for each day."""
    return [
        FileEntry(
            file_path(stream, day, attempt, n), day, rows + n, 1000 + n, day * DAY + n, day * DAY + 50 + n,
            f"{n:064x}", 3, n, {"temp": n},
        )
        for n, day in enumerate(days)
    ]  # fmt: skip


def many_files(attempt: str) -> list[FileEntry]:
    """Entries of 100 days with 500 columns: more than one item can list."""
    nulls = {f"column {n}": n for n in range(500)}
    return [replace(file, nulls=nulls) for file in files("s", attempt, *range(D, D + 100))]


def add(
    catalogue: Catalogue, name: str, *days: int, stream: str = "s", schema: StreamSchema = SCHEMA
) -> list[FileEntry]:
    """Commit a source with one file for each of the days; its files as the catalogue should return them."""
    attempt = new_attempt()
    entries = files(stream, attempt, *days)
    done = catalogue.commit(stream, schema, source(name), entries, attempt)
    assert isinstance(done, Committed)
    return [replace(f, seq=done.seq, ordinal=i) for i, f in enumerate(entries)]


class CatalogueContract:
    """A subclass gives the fixture ``catalogue``: an empty one."""

    def test_an_empty_catalogue(self, catalogue: Catalogue) -> None:
        assert catalogue.streams() == []
        assert catalogue.schema("s") is None
        assert catalogue.is_ingested("s", "0" * 64) is None
        assert catalogue.sources("s") == []
        assert catalogue.audit("s") == []
        with pytest.raises(QueryError, match=r"no stream 's'.*none yet"):
            catalogue.snapshot("s")

    def test_a_commit_is_read(self, catalogue: Catalogue) -> None:
        entries = add(catalogue, "one", D, D + 1)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.stream, snapshot.seq, snapshot.schema, snapshot.floor) == ("s", 1, SCHEMA, None)
        assert list(snapshot.files) == entries
        assert snapshot.files[0] == entries[0]
        assert snapshot.files[-1] == entries[-1]
        assert list(snapshot.files[1:]) == entries[1:]
        assert (snapshot.first_time, snapshot.last_time) == (D * DAY, (D + 1) * DAY + 51)
        assert (snapshot.total_files, snapshot.total_rows, snapshot.total_bytes) == (2, 21, 2001)
        assert snapshot.set_hash == set_hash(f.path for f in entries)
        assert catalogue.streams() == ["s"]
        assert catalogue.audit("s") == []
        assert [r.seq for r in catalogue.records("s")] == [1]

    def test_files_come_by_day_commit_and_number(self, catalogue: Catalogue) -> None:
        entries = [*add(catalogue, "a", D + 1, D, D + 1), *add(catalogue, "b", D, D + 1), *add(catalogue, "c", D - 400)]
        snapshot = catalogue.snapshot("s")
        assert list(snapshot.files) == sorted(entries, key=lambda f: (f.day, f.seq, f.ordinal))
        assert snapshot.seq == 3

    def test_ranges(self, catalogue: Catalogue) -> None:
        """A range gives the files of the UTC days that it touches; its end is exclusive."""
        entries = add(catalogue, "a", D - 1, D, D + 1, D + 40)
        for since, until, days in (
            (D * DAY, (D + 1) * DAY, {D}),
            (D * DAY, (D + 1) * DAY + 1, {D, D + 1}),
            (D * DAY - 1, D * DAY, {D - 1}),
            (D * DAY + 100, D * DAY + 101, {D}),
            (None, D * DAY + 1, {D - 1, D}),
            (D * DAY + 1, None, {D, D + 1, D + 40}),
            ((D + 2) * DAY, (D + 40) * DAY, set()),
            (D * DAY, D * DAY, set()),
            ((D + 1) * DAY, D * DAY, set()),
            ((D + 41) * DAY, None, set()),
            (-(1 << 62), 1 << 62, {D - 1, D, D + 1, D + 40}),
        ):
            snapshot = catalogue.snapshot("s", since, until)
            assert list(snapshot.files) == [f for f in entries if f.day in days], (since, until)
            assert snapshot.total_files == 4
            assert snapshot.set_hash == set_hash(f.path for f in snapshot.files)

    def test_a_source_counts_once(self, catalogue: Catalogue) -> None:
        entries = add(catalogue, "a", D)
        attempt = new_attempt()
        again = catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt)
        assert again == AlreadyIngested(source("a"))
        assert list(catalogue.snapshot("s").files) == entries
        assert catalogue.is_ingested("s", source("a").id) == source("a")
        assert catalogue.is_ingested("s", source("b").id) is None

    def test_a_repeated_request_is_the_same_commit(self, catalogue: Catalogue) -> None:
        """After a lost reply the same attempt learns that it succeeded, not that another did."""
        attempt = new_attempt()
        entries = files("s", attempt, D)
        assert catalogue.commit("s", SCHEMA, source("a"), entries, attempt) == Committed(1)
        assert catalogue.commit("s", SCHEMA, source("a"), entries, attempt) == Committed(1)
        assert catalogue.snapshot("s").total_files == 1

    def test_streams_are_apart(self, catalogue: Catalogue) -> None:
        a, b = add(catalogue, "x", D, stream="a"), add(catalogue, "x", D, stream="a.b")
        assert catalogue.streams() == ["a", "a.b"]
        assert list(catalogue.snapshot("a").files) == a
        assert list(catalogue.snapshot("a.b").files) == b
        with pytest.raises(QueryError, match=r"no stream 'c'.*: a, a\.b"):
            catalogue.snapshot("c")

    def test_a_source_without_rows(self, catalogue: Catalogue) -> None:
        done = catalogue.commit("s", SCHEMA, source("empty"), [], new_attempt())
        assert done == Committed(1)
        snapshot = catalogue.snapshot("s")
        assert (len(snapshot.files), snapshot.first_time, snapshot.last_time, snapshot.sources) == (0, None, None, 1)
        assert len(catalogue.snapshot("s", 0, DAY).files) == 0
        add(catalogue, "a", D)
        assert len(catalogue.snapshot("s").files) == 1

    def test_what_was_rejected_is_counted(self, catalogue: Catalogue) -> None:
        bad = source(
            "a",
            rows_read=17,
            rows_committed=10,
            rejected=5,
            reject_reasons={"no key": 5},
            dropped=2,
            rejects_path="rejects/s/a",
        )
        attempt = new_attempt()
        catalogue.commit("s", SCHEMA, bad, files("s", attempt, D), attempt)
        catalogue.commit("s", SCHEMA, source("b", rejected=1, dropped=1), [], new_attempt())
        snapshot = catalogue.snapshot("s")
        assert (snapshot.rejected, snapshot.dropped, snapshot.sources, snapshot.quarantined) == (6, 3, 2, 0)
        assert sorted(s.name for s in catalogue.sources("s")) == ["a", "b"]
        assert catalogue.is_ingested("s", bad.id) == bad

    def test_a_quarantined_source_may_come_again(self, catalogue: Catalogue) -> None:
        poison = source("a", quarantined="not JSON at all")
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == Committed(1)
        assert catalogue.snapshot("s").quarantined == 1
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == AlreadyIngested(poison)
        entries = add(catalogue, "a", D)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.sources, list(snapshot.files)) == (0, 1, entries)
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == AlreadyIngested(source("a"))
        assert catalogue.audit("s") == []

    def test_the_keys_of_a_stream_without_a_point_are_of_no_type_yet(self, catalogue: Catalogue) -> None:
        empty = replace(SCHEMA, columns={})
        catalogue.commit("s", empty, source("a", quarantined="damaged"), [], new_attempt())
        catalogue.commit("s", empty, source("b"), [], new_attempt())
        whole = replace(SCHEMA, key_type=Type.INT)
        add(catalogue, "c", D, schema=whole)
        assert catalogue.schema("s") == whole
        with pytest.raises(SchemaConflict, match="key type"):
            add(catalogue, "d", D)
        catalogue.commit("t", empty, source("a"), [], new_attempt())
        with pytest.raises(SchemaConflict, match="'device', but this input gives 'other'"):
            add(catalogue, "c", D, stream="t", schema=replace(SCHEMA, key="other"))
        assert catalogue.audit("s") == []

    def test_schemas_widen(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D)
        add(catalogue, "b", D)
        more = replace(SCHEMA, columns={"status": Type.STRING, "temp": Type.FLOAT}, unit="s")
        add(catalogue, "c", D, schema=more)
        add(catalogue, "d", D, schema=replace(SCHEMA, unit=None))
        expected = replace(SCHEMA, columns={"temp": Type.FLOAT, "status": Type.STRING}, unit="s")
        assert catalogue.schema("s") == expected
        assert list(expected.columns) == ["temp", "status"]
        assert catalogue.snapshot("s").schema == expected
        assert [r.schema_seq for r in catalogue.records("s")] == [1, 1, 3, 3]

    def test_a_conflicting_schema_commits_nothing(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D)
        attempt = new_attempt()
        other = replace(SCHEMA, columns={"temp": Type.STRING})
        with pytest.raises(SchemaConflict, match=r"'temp' is int64.*string"):
            catalogue.commit("s", other, source("b"), files("s", attempt, D), attempt)
        assert catalogue.snapshot("s").seq == 1
        assert catalogue.is_ingested("s", source("b").id) is None

    def test_a_commit_of_any_number_of_files(self, catalogue: Catalogue) -> None:
        """More files than one item can list, between two small commits: each is one commit, and all are read alike."""
        entries = add(catalogue, "a", D + 7)
        attempt = new_attempt()
        many = many_files(attempt)
        assert catalogue.commit("s", SCHEMA, source("b"), many, attempt) == Committed(2)
        assert catalogue.commit("s", SCHEMA, source("b"), many, attempt) == Committed(2)
        again = new_attempt()
        other = many_files(again)
        assert catalogue.commit("s", SCHEMA, source("b"), other, again) == AlreadyIngested(source("b"))
        entries += [replace(f, seq=2, ordinal=i) for i, f in enumerate(many)]
        entries += add(catalogue, "c", D + 1, D + 300)
        entries.sort(key=lambda f: (f.day, f.seq, f.ordinal))
        snapshot = catalogue.snapshot("s")
        assert list(snapshot.files) == entries
        assert (snapshot.seq, snapshot.total_files, snapshot.sources) == (3, 103, 3)
        assert snapshot.set_hash == set_hash(f.path for f in entries)
        week = catalogue.snapshot("s", D * DAY, (D + 9) * DAY)
        assert list(week.files) == [f for f in entries if f.day < D + 9]
        assert [list(r.adds) for r in catalogue.records("s")] == [
            [f for f in sorted(entries, key=lambda f: f.ordinal) if f.seq == n] for n in (1, 2, 3)
        ]
        assert catalogue.audit("s") == []

    def test_a_schema_of_any_size(self, catalogue: Catalogue) -> None:
        """More columns than one item can name as they are."""
        columns = {f"payload.sensors.temperature.mean.{n}": Type.INT for n in range(10_000)}
        wide = replace(SCHEMA, columns=columns, wide=dict.fromkeys(columns, True))
        add(catalogue, "a", D, schema=wide)
        add(catalogue, "b", D, schema=wide)
        assert catalogue.schema("s") == wide
        assert catalogue.snapshot("s").schema == wide
        assert [r.schema_seq for r in catalogue.records("s")] == [1, 1]
        assert catalogue.audit("s") == []

    def test_a_commit_has_limits(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        file = files("s", attempt, D)[0]
        with pytest.raises(IngestError, match=r"1,000,000 files, more than the 999,999.*fewer days"):
            catalogue.commit("s", SCHEMA, source("a"), [file] * 1_000_000, attempt)
        nulls = {f"{n:05}{'x' * 40}": 0 for n in range(10_000)}
        with pytest.raises(IngestError, match=r"10,000 columns.*more than the 400,000.*shorten their names"):
            catalogue.commit("s", SCHEMA, source("a"), [replace(file, nulls=nulls)], attempt)
        names = {hashlib.sha256(f"{n}".encode()).hexdigest(): Type.INT for n in range(12_000)}
        with pytest.raises(IngestError, match=r"12,000 columns.*more than the 400,000"):
            catalogue.commit("s", replace(SCHEMA, columns=names), source("a"), [], attempt)
        assert catalogue.streams() == []

    def test_a_swept_attempt_of_many_files_is_abandoned(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        many = many_files(attempt)
        assert catalogue.claim_for_sweep("s", attempt)
        with pytest.raises(AttemptSwept, match="ingest the input again"):
            catalogue.commit("s", SCHEMA, source("a"), many, attempt)
        assert catalogue.streams() == []
        attempt = new_attempt()
        many = many_files(attempt)
        assert catalogue.commit("s", SCHEMA, source("a"), many, attempt) == Committed(1)
        assert not catalogue.claim_for_sweep("s", attempt)
        assert len(next(iter(catalogue.records("s"))).adds) == 100
        with pytest.raises(StoreError, match="use a new one"):
            catalogue.commit("s", SCHEMA, source("b"), many, attempt)
        assert catalogue.audit("s") == []

    def test_a_swept_attempt_is_abandoned(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        assert catalogue.claim_for_sweep("s", attempt)
        assert catalogue.claim_for_sweep("s", attempt)  # a sweep that died goes on
        with pytest.raises(AttemptSwept, match="ingest the input again"):
            catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt)
        assert catalogue.is_ingested("s", source("a").id) is None
        add(catalogue, "a", D)
        assert catalogue.audit("s") == []

    def test_a_committed_attempt_is_not_swept(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt)
        assert not catalogue.claim_for_sweep("s", attempt)
        assert len(catalogue.snapshot("s").files) == 1

    def test_an_attempt_is_not_used_twice(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        catalogue.commit("s", SCHEMA, source("a"), files("s", attempt, D), attempt)
        with pytest.raises(StoreError, match="use a new one"):
            catalogue.commit("s", SCHEMA, source("b"), files("s", attempt, D), attempt)

    @pytest.mark.parametrize("stream", ["", "a/b", "a b", "..", "-x", ".x", "x" * 101, "ä", "a\n", "a#b"])
    def test_bad_stream_names(self, catalogue: Catalogue, stream: str) -> None:
        with pytest.raises(StoreError, match="stream name"):
            catalogue.commit(stream, SCHEMA, source("a"), [], new_attempt())
        with pytest.raises(StoreError, match="stream name"):
            catalogue.snapshot(stream)

    @pytest.mark.parametrize(
        "change",
        [
            {"path": "data/s/2024-03-18/other-0.points"},
            {"path": "data/t/2024-03-18/a-0.points"},
            {"path": "../x"},
            {"day": D + 1},
            {"day": 10**9},
            {"rows": 0},
            {"bytes": -1},
            {"t_min": D * DAY - 1},
            {"t_max": (D + 366) * DAY},
            {"repeats": -1},
            {"content": "0"},
            {"t_min": D * DAY + 51, "t_max": D * DAY + 50},
            {"sha256": "A" * 64},
        ],
    )
    def test_entries_that_cannot_be(self, catalogue: Catalogue, change: dict[str, Any]) -> None:
        file = files("s", "a", D)[0]
        with pytest.raises(StoreError, match="cannot be committed"):
            catalogue.commit("s", SCHEMA, source("a"), [replace(file, **change)], "a")
        with pytest.raises(StoreError, match="SHA-256"):
            catalogue.commit("s", SCHEMA, replace(source("a"), id="x"), [file], "a")
        assert catalogue.streams() == []

    def test_a_race_loses_nothing_and_doubles_nothing(self, catalogue: Catalogue) -> None:
        """16 threads, 24 sources, each source tried by two threads; a reader beside them sees only whole commits."""
        names = [f"source {i}" for i in range(24)]
        outcomes: dict[tuple[int, str], object] = {}
        wrong: list[str] = []
        done = threading.Event()

        def work(me: int) -> None:
            for name in names[me % 8 :: 8]:
                attempt = new_attempt()
                days = [D + k for k in range(1 + len(name) % 3)]
                outcomes[me, name] = catalogue.commit("s", SCHEMA, source(name), files("s", attempt, *days), attempt)

        def read() -> None:
            while not done.is_set():
                if "s" in catalogue.streams():
                    snapshot = catalogue.snapshot("s")
                    if snapshot.sources != snapshot.seq or len({f.seq for f in snapshot.files}) != snapshot.seq:
                        wrong.append(f"at {snapshot.seq}")

        reader = threading.Thread(target=read)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        reader.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done.set()
        reader.join()
        assert not wrong
        committed = [name for (_, name), outcome in outcomes.items() if isinstance(outcome, Committed)]
        assert sorted(committed) == sorted(names)
        assert len(outcomes) == 48
        snapshot = catalogue.snapshot("s")
        assert (snapshot.seq, snapshot.sources) == (24, 24)
        assert snapshot.total_files == sum(1 + len(name) % 3 for name in names)
        assert catalogue.audit("s") == []

    # One test for several classes and one catalogue for all examples (each has its own stream) is what is meant here.
    @settings(
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
        max_examples=max(12, settings().max_examples // 4),
    )
    @given(
        commits=st.lists(
            st.tuples(st.integers(0, 4), st.lists(st.integers(-40, 40), max_size=5)), min_size=1, max_size=8
        ),
        since=st.none() | st.integers(-45, 45),
        until=st.none() | st.integers(-45, 45),
    )
    def test_it_is_as_the_model_says(
        self, catalogue: Catalogue, commits: list[tuple[int, list[int]]], since: int | None, until: int | None
    ) -> None:
        """Against a list: each source once, the files of the touched days, in order, with the right totals."""
        stream = f"m{new_attempt()}"
        model: dict[int, list[FileEntry]] = {}
        for number, days in commits:
            attempt = new_attempt()
            entries = files(stream, attempt, *[D + day for day in days])
            done = catalogue.commit(stream, SCHEMA, source(str(number)), entries, attempt)
            assert isinstance(done, AlreadyIngested) == (number in model)
            if number not in model:
                assert isinstance(done, Committed)
                model[number] = [replace(f, seq=done.seq, ordinal=i) for i, f in enumerate(entries)]
        every = sorted((f for e in model.values() for f in e), key=lambda f: (f.day, f.seq, f.ordinal))
        low = None if since is None else (D + since) * DAY
        high = None if until is None else (D + until) * DAY
        snapshot = catalogue.snapshot(stream, low, high)
        wanted = [f for f in every if (since is None or f.day >= D + since) and (until is None or f.day < D + until)]
        assert list(snapshot.files) == wanted
        assert snapshot.total_rows == sum(f.rows for f in every)
        assert snapshot.first_time == min((f.t_min for f in every), default=None)
        assert snapshot.last_time == max((f.t_max for f in every), default=None)
        assert catalogue.audit(stream) == []
