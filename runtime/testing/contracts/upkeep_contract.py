"""The contract of upkeep in every ``Catalogue``: replaced files, sources taken back, floors, erased keys."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    Catalogue,
    Committed,
    FileEntry,
    Left,
    Superseded,
    TakenBack,
    new_attempt,
)
from runtime.catalogue.deletions import FloorRaised
from runtime.catalogue.items.entries import SEQ
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source


def merged(gone: Sequence[FileEntry], attempt: str, number: int = 0) -> FileEntry:
    """The entry of a file with the rows of others, as a compaction writes it."""
    first, last = min(f.t_min for f in gone), max(f.t_max for f in gone)
    (made,) = files("s", attempt, first // DAY)
    content = sum(f.content_hash for f in gone) % (1 << 256)
    return replace(
        made,
        path=made.path.replace("-0.", f"-{number}."),
        rows=sum(f.rows for f in gone),
        t_min=first,
        t_max=last,
        nulls={**made.nulls, SEQ: 0},
        content=f"{content:064x}",
    )


def left_of(catalogue: Catalogue, dels: Sequence[FileEntry], adds: Sequence[FileEntry] = ()) -> Left:
    """What is left of the stream without some files and with others."""
    snapshot = catalogue.snapshot("s")
    rest = [f for f in (*snapshot.files, *adds) if f.path not in {gone.path for gone in dels}]
    return Left(snapshot.seq, min((f.t_min for f in rest), default=None), max((f.t_max for f in rest), default=None))


def of_commit(catalogue: Catalogue, *seqs: int) -> list[FileEntry]:
    """The live files of some commits."""
    return [file for file in catalogue.snapshot("s").files if file.seq in seqs]


def digest(key: str) -> str:
    """The digest of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


def ids(*names: str) -> list[str]:
    """The ids of sources."""
    return [source(name).id for name in names]


def compact(catalogue: Catalogue, gone: Sequence[FileEntry]) -> FileEntry:
    """Replace files by one."""
    attempt = new_attempt()
    made = merged(gone, attempt)
    done = catalogue.replace("s", gone, [made], attempt)
    assert isinstance(done, Committed)
    return replace(made, seq=done.seq)


class UpkeepContract:
    """A subclass gives the fixture ``catalogue``: an empty one."""

    def test_files_are_replaced(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D, D + 1)
        add(catalogue, "b", D, D + 40)
        before = catalogue.snapshot("s")
        gone = [file for file in before.files if file.day < D + 2]
        made = compact(catalogue, gone)
        after = catalogue.snapshot("s")
        assert list(after.files) == [made, before.files[-1]]
        assert (after.total_rows, after.first_time, after.last_time) == (
            before.total_rows,
            before.first_time,
            before.last_time,
        )
        assert [(g.path, g.seq) for g in catalogue.gone("s")] == [(f.path, 3) for f in gone]
        assert list(catalogue.gone("s", after=3)) == []
        assert catalogue.replaced("s", gone[0].path) == 3
        assert catalogue.replaced("s", made.path) is None
        assert catalogue.audit("s") == []

    def test_a_file_is_replaced_once(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D, D + 1)
        gone = list(catalogue.snapshot("s").files)
        made = compact(catalogue, gone)
        attempt = new_attempt()
        assert catalogue.replace("s", gone[:1], [merged(gone[:1], attempt)], attempt) is None
        assert list(catalogue.snapshot("s").files) == [made]
        attempt = new_attempt()
        one = merged([made], attempt)
        assert catalogue.replace("s", [made], [one], attempt) == Committed(3)
        assert catalogue.replace("s", [made], [one], attempt) == Committed(3)
        assert catalogue.audit("s") == []

    def test_any_number_of_files_is_replaced(self, catalogue: Catalogue) -> None:
        """More than a transaction holds, on many days, in one commit; and each of them once."""
        add(catalogue, "a", *range(D, D + 150))
        add(catalogue, "b", *range(D + 20, D + 170))
        gone = [file for file in catalogue.snapshot("s").files if file.day >= D + 10]
        assert len(gone) == 290
        made = compact(catalogue, gone)
        snapshot = catalogue.snapshot("s")
        assert list(snapshot.files[10:]) == [made]
        assert snapshot.seq == 3
        for some in (gone[:1], gone[100:]):
            attempt = new_attempt()
            assert catalogue.replace("s", some, [merged(some, attempt)], attempt) is None
        assert {g.path for g in catalogue.gone("s")} == {file.path for file in gone}
        assert catalogue.replaced("s", gone[200].path) == 3
        assert catalogue.audit("s") == []

    def test_files_that_reach_into_a_range(self, catalogue: Catalogue) -> None:
        """They are found among those that begin so many days before it, whatever else begins there."""
        days = [D, D + 1, D + 9, D + 30, D + 65, D + 70, D + 100]
        add(catalogue, "a", *days)
        by_day = {file.day: file for file in catalogue.snapshot("s").files}
        wide = compact(catalogue, [by_day[D + 1], by_day[D + 9], by_day[D + 65]])
        assert wide.days == 65
        for since, until, expected in (
            (D + 40, D + 41, [D + 1]),
            (D + 66, D + 71, [D + 70]),
            (D + 65, D + 71, [D + 1, D + 70]),
            (D, D + 1, [D]),
            (D + 30, D + 31, [D + 1, D + 30]),
            (D + 101, None, []),
            (None, D + 2, [D, D + 1]),
        ):
            low = None if since is None else since * DAY
            found = catalogue.snapshot("s", low, None if until is None else until * DAY).files
            assert [file.day for file in found] == expected, (since, until)
        assert catalogue.audit("s") == []

    def test_what_cannot_be_replaced(self, catalogue: Catalogue) -> None:
        attempt = new_attempt()
        with pytest.raises(StoreError, match="no stream 's'"):
            catalogue.replace("s", [replace(files("s", "x", D)[0], seq=1)], files("s", attempt, D), attempt)
        (file,) = add(catalogue, "a", D)
        for gone in ([file, file], [replace(file, seq=0)]):
            with pytest.raises(StoreError, match="not those of a snapshot"):
                catalogue.replace("s", gone, files("s", attempt, D), attempt)
        with pytest.raises(StoreError, match="cannot be committed"):
            catalogue.replace("s", [file], files("s", "another", D), attempt)

    def test_a_replacement_that_was_swept(self, catalogue: Catalogue) -> None:
        gone = add(catalogue, "a", D)
        attempt = new_attempt()
        assert catalogue.claim_for_sweep("s", attempt)
        assert catalogue.replace("s", gone, [merged(gone, attempt)], attempt) is None
        assert list(catalogue.snapshot("s").files) == gone

    # Sources taken back

    def test_a_source_is_taken_back(self, catalogue: Catalogue) -> None:
        mine = source("b", rejected=3, dropped=2, rows_read=15)
        add(catalogue, "a", D)
        attempt = new_attempt()
        catalogue.commit("s", SCHEMA, mine, files("s", attempt, D - 3, D, D + 9), attempt)
        gone = of_commit(catalogue, 2)
        done = catalogue.undo("s", ids("b"), gone, [], new_attempt(), left_of(catalogue, gone))
        assert done == Committed(3)
        snapshot = catalogue.snapshot("s")
        assert [file.seq for file in snapshot.files] == [1]
        assert (snapshot.sources, snapshot.undone, snapshot.rejected, snapshot.dropped) == (1, 1, 0, 0)
        assert (snapshot.first_time, snapshot.last_time) == (D * DAY, D * DAY + 50)
        assert catalogue.is_ingested("s", mine.id) == replace(mine, undone=3)
        assert sorted(s.undone for s in catalogue.sources("s")) == [0, 3]
        assert catalogue.audit("s") == []

    def test_a_source_that_was_taken_back_comes_again(self, catalogue: Catalogue) -> None:
        """Only if somebody says so; then it counts once."""
        first = add(catalogue, "a", D)
        assert catalogue.undo("s", ids("a"), first, [], new_attempt(), left_of(catalogue, first)) == Committed(2)
        assert catalogue.snapshot("s").total_files == 0
        attempt = new_attempt()
        new = files("s", attempt, D + 1)
        undone = replace(source("a"), undone=2)
        assert catalogue.commit("s", SCHEMA, source("a"), new, attempt) == AlreadyIngested(undone)
        poison = source("a", quarantined="damaged")
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == AlreadyIngested(undone)
        attempt = new_attempt()
        new = files("s", attempt, D + 1)
        assert catalogue.commit("s", SCHEMA, source("a"), new, attempt, again=True) == Committed(3)
        assert catalogue.commit("s", SCHEMA, source("a"), new, attempt, again=True) == Committed(3)
        done = catalogue.commit("s", SCHEMA, source("a"), [], new_attempt(), again=True)
        assert done == AlreadyIngested(source("a"))
        snapshot = catalogue.snapshot("s")
        assert (snapshot.total_files, snapshot.sources, snapshot.undone) == (1, 1, 0)
        assert snapshot.first_time == (D + 1) * DAY
        assert catalogue.audit("s") == []

    def test_sources_in_compacted_files_are_taken_back(self, catalogue: Catalogue) -> None:
        """The caller writes these anew without them. A source in quarantine, and one without rows, too."""
        for name in "abc":
            add(catalogue, name, D, D + 1)
        catalogue.commit("s", SCHEMA, source("d", quarantined="damaged"), [], new_attempt())
        catalogue.commit("s", SCHEMA, source("e"), [], new_attempt())
        kept = of_commit(catalogue, 3)
        made = compact(catalogue, list(catalogue.snapshot("s").files))
        attempt = new_attempt()
        rest = merged(kept, attempt)
        left = left_of(catalogue, [made], [rest])
        assert catalogue.undo("s", ids(*"deab"), [made], [rest], attempt, left) == Committed(7)
        snapshot = catalogue.snapshot("s")
        assert list(snapshot.files) == [replace(rest, seq=7)]
        assert (snapshot.sources, snapshot.undone, snapshot.quarantined) == (1, 4, 0)
        assert catalogue.audit("s") == []
        assert catalogue.undo("s", ids("c", "a"), [], [], new_attempt(), left_of(catalogue, [])) is None
        with pytest.raises(StoreError, match=r"no source .*cannot be taken back"):
            catalogue.undo("s", ids("f"), [], [], new_attempt(), left)
        many = [digest(str(n)) for n in range(91)]
        with pytest.raises(StoreError, match=r"takes back at most 90 sources, not 91: repeat it with a part"):
            catalogue.undo("s", many, [], [], new_attempt(), left)

    def test_sources_in_quarantine_are_dismissed_and_taken_again(self, catalogue: Catalogue) -> None:
        """They stay where they are, and nothing that comes by itself brings them back to attention."""
        add(catalogue, "a", D)
        for name in "bc":
            catalogue.commit("s", SCHEMA, source(name, quarantined="damaged"), [], new_attempt())
        assert catalogue.dismiss("s", ids("b", "c"), new_attempt()) == Committed(4)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.dismissed, snapshot.sources) == (2, 2, 1)
        dismissed = replace(source("b", quarantined="damaged"), dismissed=4)
        assert catalogue.is_ingested("s", dismissed.id) == dismissed
        for reason in ("damaged", "damaged otherwise"):
            poison = source("b", quarantined=reason)
            assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == AlreadyIngested(dismissed)
        assert catalogue.dismiss("s", ids("b"), new_attempt()) is None
        assert catalogue.dismiss("s", ids("a"), new_attempt()) is None
        assert catalogue.retry("s", ids("b"), new_attempt()) == Committed(5)
        assert catalogue.is_ingested("s", dismissed.id) == replace(dismissed, dismissed=0, retried=5)
        assert catalogue.audit("s") == []
        poison = source("b", quarantined="damaged")  # again: its time says so
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == Committed(6)
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == AlreadyIngested(poison)
        poison = source("b", quarantined="damaged otherwise")
        assert catalogue.commit("s", SCHEMA, poison, [], new_attempt()) == Committed(7)
        assert catalogue.is_ingested("s", poison.id) == poison
        assert catalogue.retry("s", ids("b"), new_attempt()) == Committed(8)
        assert catalogue.dismiss("s", ids("b"), new_attempt()) == Committed(9)
        assert catalogue.retry("s", ids("b"), new_attempt()) == Committed(10)
        assert catalogue.retry("s", ids("a"), new_attempt()) is None
        snapshot = catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.dismissed, snapshot.sources) == (2, 1, 1)
        add(catalogue, "c", D + 1)  # one that was dismissed is taken after all
        snapshot = catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.dismissed, snapshot.sources) == (1, 0, 2)
        with pytest.raises(StoreError, match=r"no source .*not in quarantine"):
            catalogue.dismiss("s", ids("f"), new_attempt())
        assert catalogue.audit("s") == []

    def test_a_dismissed_source_that_is_taken_back(self, catalogue: Catalogue) -> None:
        first = add(catalogue, "a", D)
        catalogue.commit("s", SCHEMA, source("b", quarantined="damaged"), [], new_attempt())
        catalogue.dismiss("s", ids("b"), new_attempt())
        assert catalogue.undo("s", ids("b"), [], [], new_attempt(), left_of(catalogue, [])) == Committed(4)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.dismissed, snapshot.undone) == (0, 0, 1)
        assert catalogue.retry("s", ids("b"), new_attempt()) is None
        assert catalogue.audit("s") == []
        catalogue.commit("s", SCHEMA, source("c", quarantined="damaged"), [], new_attempt())
        catalogue.dismiss("s", ids("c"), new_attempt())
        catalogue.erase_all("s", first, new_attempt(), 6)
        assert catalogue.snapshot("s").dismissed == 0
        assert catalogue.audit("s") == []

    def test_an_undo_and_a_compaction_of_the_same_files(self, catalogue: Catalogue) -> None:
        """Whichever comes second does nothing, and can be planned again."""
        add(catalogue, "a", D)
        add(catalogue, "b", D)
        every = list(catalogue.snapshot("s").files)
        attempt = new_attempt()
        made = merged(every, attempt)
        left = left_of(catalogue, every[:1])
        assert catalogue.undo("s", ids("a"), every[:1], [], new_attempt(), left) == Committed(3)
        assert catalogue.replace("s", every, [made], attempt) is None
        compact(catalogue, every[1:])
        assert catalogue.undo("s", ids("b"), every[1:], [], new_attempt(), left_of(catalogue, every[1:])) is None
        assert catalogue.snapshot("s").total_files == 1
        assert catalogue.audit("s") == []

    def test_what_was_committed_meanwhile_counts(self, catalogue: Catalogue) -> None:
        """The times that are left are of a snapshot; commits since then add theirs, removals make it plan again."""
        add(catalogue, "a", D)
        add(catalogue, "b", D + 1)
        one, two = of_commit(catalogue, 1), of_commit(catalogue, 2)
        left, other = left_of(catalogue, one), left_of(catalogue, two)
        add(catalogue, "c", D - 9, D + 9)
        assert catalogue.undo("s", ids("a"), one, [], new_attempt(), left) == Committed(4)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.first_time, snapshot.last_time) == ((D - 9) * DAY, (D + 9) * DAY + 51)
        assert catalogue.undo("s", ids("b"), two, [], new_attempt(), other) is None
        assert catalogue.audit("s") == []

    def test_a_source_replaces_others(self, catalogue: Catalogue) -> None:
        """One commit: the old one is taken back, the new one is there; also where it is the same one."""
        for name in "abc":
            add(catalogue, name, D, D + 1)
        gone = of_commit(catalogue, 1, 2)
        taken = TakenBack(ids("a", "b"), gone, [], left_of(catalogue, gone))
        attempt = new_attempt()
        new = files("s", attempt, D + 5)
        assert catalogue.commit("s", SCHEMA, source("d"), new, attempt, replacing=taken) == Committed(4)
        assert catalogue.commit("s", SCHEMA, source("d"), new, attempt, replacing=taken) == Committed(4)
        assert {file.seq for file in catalogue.snapshot("s").files} == {3, 4}
        gone = of_commit(catalogue, 3)
        taken = TakenBack(ids("c"), gone, [], left_of(catalogue, gone))
        attempt = new_attempt()
        new = files("s", attempt, D + 6)
        fresh = source("c", rows_read=10)
        assert catalogue.commit("s", SCHEMA, fresh, new, attempt, replacing=taken) == Committed(5)
        snapshot = catalogue.snapshot("s")
        assert ([f.seq for f in snapshot.files], snapshot.sources, snapshot.undone) == ([4, 5], 2, 2)
        assert snapshot.first_time == (D + 5) * DAY
        assert catalogue.is_ingested("s", fresh.id) == fresh
        attempt = new_attempt()
        with pytest.raises(Superseded, match="repeat"):
            catalogue.commit("s", SCHEMA, source("e"), files("s", attempt, D), attempt, replacing=taken)
        assert catalogue.is_ingested("s", source("e").id) is None
        assert catalogue.audit("s") == []

    def test_a_source_replaces_more_files_than_a_transaction_holds(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", *range(D, D + 120))
        add(catalogue, "b", D)
        gone = of_commit(catalogue, 1)
        attempt = new_attempt()
        taken = TakenBack(ids("a"), gone, [], left_of(catalogue, gone))
        new = files("s", attempt, D + 1)
        assert catalogue.commit("s", SCHEMA, source("a"), new, attempt, replacing=taken) == Committed(3)
        assert [file.seq for file in catalogue.snapshot("s").files] == [2, 3]
        assert catalogue.audit("s") == []

    # Retention

    def test_a_floor_is_raised(self, catalogue: Catalogue) -> None:
        """Files that begin before it go, others hold what is left and what is carried in; times begin at it; it never
        falls, and what is below it is not taken."""
        add(catalogue, "a", D, D + 1, D + 9, D + 10, D + 30)
        by_day = {file.day: file for file in catalogue.snapshot("s").files}
        wide = compact(catalogue, [by_day[D + 1], by_day[D + 10]])
        gone = [by_day[D], by_day[D + 9], wide]
        attempt = new_attempt()
        adds = files("s", attempt, D + 10, D + 9)
        left = left_of(catalogue, gone, adds)
        with pytest.raises(StoreError, match=r"has no points that a floor at day .* retires"):
            catalogue.raise_floor("s", D + 10, [by_day[D + 30]], [], new_attempt(), left)
        across = merged(adds, attempt)
        with pytest.raises(StoreError, match=r"points on both sides of a floor"):
            catalogue.raise_floor("s", D + 10, gone, [across], attempt, left)
        assert catalogue.raise_floor("s", D + 10, gone, adds, attempt, left) == Committed(3)
        snapshot = catalogue.snapshot("s")
        kept, carried = (replace(file, seq=3, ordinal=n) for n, file in enumerate(adds))
        assert list(snapshot.files) == [carried, kept, by_day[D + 30]]
        assert snapshot.points == [kept, by_day[D + 30]]
        assert (snapshot.floor, snapshot.first_time) == (D + 10, kept.t_min)
        assert list(catalogue.snapshot("s", (D + 10) * DAY, (D + 11) * DAY).files) == [kept]
        with pytest.raises(StoreError, match=r"keeps the points from 2024-03-28 on: a floor never falls"):
            catalogue.raise_floor("s", D + 9, [], [], new_attempt(), left_of(catalogue, []))
        with pytest.raises(FloorRaised, match=r"points of stream 's' before 2024-03-28 were retired"):
            add(catalogue, "b", D + 2)
        assert [file.seq for file in add(catalogue, "b", D + 11)] == [4]
        gone = list(catalogue.snapshot("s").files)
        assert catalogue.raise_floor("s", D + 50, gone, [], new_attempt(), left_of(catalogue, gone)) == Committed(5)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.floor, snapshot.first_time, snapshot.total_files) == (D + 50, None, 0)
        assert catalogue.audit("s") == []

    def test_a_floor_is_not_raised_above_points_that_it_does_not_know(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D, D + 9)
        gone = of_commit(catalogue, 1)[:1]
        left = left_of(catalogue, gone)
        add(catalogue, "b", D + 1)
        assert catalogue.raise_floor("s", D + 5, gone, [], new_attempt(), left) is None
        assert catalogue.snapshot("s").floor is None
        gone = [file for file in catalogue.snapshot("s").files if file.day < D + 5]
        left = left_of(catalogue, gone)
        add(catalogue, "c", D + 7)
        assert catalogue.raise_floor("s", D + 5, gone, [], new_attempt(), left) == Committed(4)
        assert catalogue.snapshot("s").first_time == (D + 7) * DAY
        left = left_of(catalogue, [])
        assert catalogue.raise_floor("s", D + 7, [], [], new_attempt(), left) == Committed(5)
        assert catalogue.raise_floor("s", D + 6, [], [], new_attempt(), left) is None  # it was raised further
        assert catalogue.audit("s") == []

    # Erasure

    def test_keys_are_erased(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D, D + 1)
        gone = of_commit(catalogue, 1)
        attempt = new_attempt()
        rest = replace(merged(gone[:1], attempt), rows=4, t_min=D * DAY + 20)
        assert catalogue.erased("s") == {}
        left = left_of(catalogue, gone, [rest])
        assert catalogue.erase("s", [digest("x")], gone, [rest], attempt, left) == Committed(2)
        erased = catalogue.erased("s")
        assert {key: found.seq for key, found in erased.items()} == {digest("x"): 2}
        snapshot = catalogue.snapshot("s")
        assert (snapshot.total_rows, snapshot.erased, snapshot.first_time) == (4, 1, D * DAY + 20)
        attempt = new_attempt()
        late = files("s", attempt, D)
        with pytest.raises(Superseded, match=r"keys .* were erased"):
            catalogue.commit("s", SCHEMA, source("b"), late, attempt, erased=0)
        assert catalogue.commit("s", SCHEMA, source("b"), late, attempt, erased=1) == Committed(3)
        both = [digest("x"), digest("y")]
        assert catalogue.erase("s", both, [], [], new_attempt(), left) is None  # points were added
        assert catalogue.note_erased("s", both, new_attempt()) == Committed(4)
        assert {key: found.seq for key, found in catalogue.erased("s").items()} == dict.fromkeys(both, 4)
        assert catalogue.snapshot("s").erased == 3
        assert catalogue.audit("s") == []

    def test_a_stream_is_erased_and_begins_anew(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D, D + 1)
        add(catalogue, "b", D)
        every = list(catalogue.snapshot("s").files)
        catalogue.raise_floor("s", D, [], [], new_attempt(), left_of(catalogue, []))
        add(catalogue, "c", D)
        assert catalogue.erase_all("s", every, new_attempt(), 2) is None
        every = list(catalogue.snapshot("s").files)
        assert catalogue.erase_all("s", every, new_attempt(), 4) == Committed(5)
        snapshot = catalogue.snapshot("s")
        assert (snapshot.total_files, snapshot.sources, snapshot.first_time, snapshot.floor) == (0, 0, None, None)
        assert catalogue.sources("s") == []
        assert catalogue.is_ingested("s", source("a").id) is None
        with pytest.raises(StoreError, match="has no source"):
            catalogue.undo("s", ids("zz"), [], [], new_attempt(), Left(5))
        other = replace(SCHEMA, key="other", key_type=Type.INT, columns={"temp": Type.STRING})
        (file,) = add(catalogue, "a", D - 5, schema=other)
        add(catalogue, "d", D + 1, schema=other)
        snapshot = catalogue.snapshot("s")
        assert snapshot.schema == other
        assert (snapshot.files[0], snapshot.sources, snapshot.first_time) == (file, 2, (D - 5) * DAY)
        assert len(catalogue.sources("s")) == 2
        assert catalogue.commit("s", other, source("a"), [], new_attempt()) == AlreadyIngested(source("a"))
        assert catalogue.audit("s") == []

    @settings(
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
        max_examples=max(10, settings().max_examples // 4),
    )
    @given(st.lists(st.tuples(st.sampled_from("iiccurea"), st.integers(0, 1 << 30)), min_size=2, max_size=12))
    def test_upkeep_is_as_the_model_says(self, catalogue: Catalogue, script: list[tuple[str, int]]) -> None:
        """Against sets of units, one for each file that a source brought: what is live, of whom, from when to when."""
        stream = f"u{new_attempt()}"
        names = ids(*"abcd")
        holds: dict[str, frozenset[tuple[int, int]]] = {}  # path -> (commit, number) of what it has
        days: dict[tuple[int, int], int] = {}
        owner: dict[str, int] = {}  # source -> its commit
        undone: set[str] = set()
        floor: int | None = None

        def written(attempt: str, units: Iterable[tuple[int, int]], number: int, adds: list[FileEntry]) -> None:
            units = frozenset(units)
            if units:
                spread = [days[unit] for unit in units]
                (made,) = files(stream, attempt, min(spread))
                path = made.path.replace("-0.", f"-{number}.")
                holds[path] = units
                adds.append(replace(made, path=path, rows=len(units), t_max=max(spread) * DAY))

        for what, luck in script:
            attempt = new_attempt()
            known = catalogue.schema(stream) is not None
            live = list(catalogue.snapshot(stream).files) if known else []
            seq = catalogue.snapshot(stream).seq if known else 0
            adds: list[FileEntry] = []
            if what == "i" or not known:
                name = names[luck % 4]
                again = luck % 3 == 0
                for n in range(1 + luck % 3):
                    days[seq + 1, n] = D + luck // (7 + n) % 50
                    written(attempt, [(seq + 1, n)], n, adds)
                free = name not in owner or (name in undone and again)
                entry = replace(source("x"), id=name)
                if free and floor is not None and any(file.day < floor for file in adds):
                    with pytest.raises(FloorRaised):
                        catalogue.commit(stream, SCHEMA, entry, adds, attempt, again=again)
                    continue
                done = catalogue.commit(stream, SCHEMA, entry, adds, attempt, again=again)
                assert isinstance(done, Committed) == free
                if free:
                    owner[name] = seq + 1
                    undone.discard(name)
                continue
            if what == "c":
                points = catalogue.snapshot(stream).points
                gone = [file for n, file in enumerate(points) if luck >> n % 30 & 1]
                written(attempt, (unit for file in gone for unit in holds[file.path]), 0, adds)
                if gone:
                    assert catalogue.replace(stream, gone, adds, attempt) == Committed(seq + 1)
                continue
            if what == "u":
                name = names[luck % 4]
                lost = {u for f in live for u in holds[f.path] if owner.get(name) == u[0]}
            elif what == "r":
                lost = {u for u in days if days[u] < D + luck % 50}
            else:
                lost = {u for f in live for u in holds[f.path] if (u[1] + luck) % 3 == 0}
            gone = [file for file in live if holds[file.path] & lost]
            if what == "a" and luck % 4 == 0:
                gone = live
            else:
                for n, file in enumerate(gone):
                    written(attempt, holds[file.path] - lost, n, adds)
            if what == "r" and gone:  # what is carried in
                days[seq + 1, 99] = D + luck % 50 - 1
                written(attempt, [(seq + 1, 99)], 99, adds)
            rest = [file for file in (*live, *adds) if file not in gone]
            left = Left(seq, min((f.t_min for f in rest), default=None), max((f.t_max for f in rest), default=None))
            if what == "u":
                if name in owner and name not in undone:
                    assert catalogue.undo(stream, [name], gone, adds, attempt, left) == Committed(seq + 1)
                    undone.add(name)
            elif what == "r":
                if floor is None or D + luck % 50 >= floor:
                    floor = D + luck % 50
                    assert catalogue.raise_floor(stream, floor, gone, adds, attempt, left) == Committed(seq + 1)
            elif what == "a" and luck % 4 == 0:
                assert catalogue.erase_all(stream, live, attempt, seq) == Committed(seq + 1)
                owner, undone, floor = {}, set(), None
            else:
                assert catalogue.erase(stream, [digest(str(luck))], gone, adds, attempt, left) == Committed(seq + 1)
        assert catalogue.audit(stream) == []
        snapshot = catalogue.snapshot(stream)
        assert (snapshot.sources, snapshot.undone) == (len(owner) - len(undone), len(undone))
        first = min((f.t_min for f in snapshot.files), default=None)
        last = max((f.t_max for f in snapshot.files), default=None)
        if floor is not None and first is not None and last is not None:
            first, last = (None, None) if last < floor * DAY else (max(first, floor * DAY), last)
        assert (snapshot.first_time, snapshot.last_time) == (first, last)
        assert snapshot.floor == floor
