"""The contract of upkeep in every ``Catalogue``: replaced files, sources taken back, floors, erased keys."""

from __future__ import annotations

from dataclasses import replace

import pytest

from operators.types import Type
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    Catalogue,
    Committed,
    Left,
    Superseded,
    TakenBack,
    new_attempt,
)
from runtime.catalogue.deletions import FloorRaised
from runtime.errors import StoreError
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source
from runtime.testing.contracts.upkeep_files import compact, digest, ids, left_of, merged, of_commit
from runtime.testing.contracts.upkeep_histories import UpkeepHistories


class UpkeepContract(UpkeepHistories):
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
