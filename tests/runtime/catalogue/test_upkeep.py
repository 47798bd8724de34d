"""Upkeep of the catalogue: attempts that die, lost replies, damage, and salvage of streams that are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from operators.errors import DataflowError
from runtime.catalogue import DAY, Committed, OutcomeUnknown, TableCatalogue, TakenBack, new_attempt
from runtime.catalogue.key_value import Put, Query, Transact, run
from runtime.catalogue.repair.salvage import found_in, write_steps
from runtime.errors import FormatError, IncompleteResult
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, add, files, source
from runtime.testing.contracts.upkeep_files import compact, digest, ids, left_of, merged, of_commit
from tests.runtime.catalogue.test_sqlite_contract import LockedTable

DEL, LOG, CLAIM, FILES = "s/DEL", "s/LOG", "s/CLAIM", "s/FILES"


class Killed(Exception):
    """The process ends here."""


class Hooked(LockedTable):
    """A table that calls ``before`` and ``after`` the ``nth`` transaction that writes to the partition ``when``."""

    def __init__(self) -> None:
        super().__init__()
        self.when, self.nth = "", 0
        self.before: Callable[[], None] | None = None
        self.after: Callable[[], None] | None = None

    def transact(self, request: Transact) -> None:
        mine = any(isinstance(item, Put) and item.partition == self.when for item in request.items)
        self.nth -= mine
        due = mine and self.nth == -1
        if due and self.before is not None:
            self.before()
        super().transact(request)
        if due and self.after is not None:
            self.after()

    def at(self, when: str, nth: int, **hooks: Callable[[], None]) -> None:
        self.when, self.nth = when, nth
        self.before, self.after = hooks.get("before"), hooks.get("after")


def killed() -> None:
    raise Killed


def lost() -> None:
    raise OutcomeUnknown("the reply was lost")


@pytest.fixture
def table() -> Hooked:
    return Hooked()


@pytest.fixture
def catalogue(table: Hooked) -> TableCatalogue:
    """150 files of one source, and one of another."""
    catalogue = TableCatalogue(table)
    add(catalogue, "a", *range(D, D + 150))
    add(catalogue, "b", D)
    return catalogue


def lists(table: Hooked) -> int:
    """The lists that are not emptied."""
    return sum(b'"swept"' not in body for _, _, body in table.query(Query(FILES)))


PLACES = [(DEL, 0), (DEL, 1), (FILES, 0), (LOG, 0)]


@pytest.mark.parametrize("place", PLACES, ids=["first intents", "last intents", "list", "log"])
@pytest.mark.parametrize("hook", ["before", "after"])
def test_a_lost_request_or_reply_is_one_commit(
    table: Hooked, catalogue: TableCatalogue, place: tuple[str, int], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.catalogue.commits.MAX_ITEM", 5_000)
    gone, attempt = of_commit(catalogue, 1), new_attempt()
    table.at(*place, **{hook: lost})
    assert catalogue.replace("s", gone, [merged(gone, attempt)], attempt) == Committed(3)
    assert catalogue.snapshot("s").total_files == 2
    assert catalogue.audit("s") == []


@pytest.mark.parametrize("place", PLACES, ids=["first intents", "last intents", "list", "log"])
@pytest.mark.parametrize("hook", ["before", "after"])
def test_an_attempt_that_died_blocks_nothing(
    table: Hooked, catalogue: TableCatalogue, place: tuple[str, int], hook: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one replaces the same files, whichever it did not; and nothing of the first is left."""
    monkeypatch.setattr("runtime.catalogue.commits.MAX_ITEM", 5_000)
    gone, dead = of_commit(catalogue, 1), new_attempt()
    table.at(*place, **{hook: killed})
    with pytest.raises(Killed):
        catalogue.replace("s", gone, [merged(gone, dead)], dead)
    done = (place[0], hook) == (LOG, "after")
    attempt = new_attempt()
    again = catalogue.replace("s", gone, [merged(gone, attempt)], attempt)
    assert again == (None if done else Committed(3))
    assert catalogue.replace("s", gone, [merged(gone, dead)], dead) == (Committed(3) if done else None)
    named = {d for r in catalogue.records("s") for d in (*r.lists, *r.del_lists)}
    assert lists(table) == len(named)
    assert catalogue.snapshot("s").total_files == 2
    assert catalogue.audit("s") == []


def test_an_attempt_whose_intents_were_taken_over_cannot_commit(table: Hooked, catalogue: TableCatalogue) -> None:
    """An undo comes between its intents and its commit."""
    gone, attempt = of_commit(catalogue, 1), new_attempt()
    left = left_of(catalogue, gone)
    undone: list[object] = []
    table.at(LOG, 0, before=lambda: undone.append(catalogue.undo("s", ids("a"), gone, [], new_attempt(), left)))
    assert catalogue.replace("s", gone, [merged(gone, attempt)], attempt) is None
    assert undone == [Committed(3)]
    assert [file.seq for file in catalogue.snapshot("s").files] == [2]
    assert catalogue.claim_for_sweep("s", attempt)
    assert catalogue.audit("s") == []


def test_two_sources_beside_each_other_in_the_list(catalogue: TableCatalogue) -> None:
    """One that a new source replaces is the one before it in the list: one item says both."""
    for name in "cdefgh":
        add(catalogue, name, D + 1)
    for number, name in enumerate("bcdefgh"):
        gone = [f for f in catalogue.snapshot("s").files if f.seq == number + 2]
        attempt = new_attempt()
        taken = TakenBack(ids(name), gone, [], left_of(catalogue, gone))
        new = source(f"{name} anew")
        done = catalogue.commit("s", SCHEMA, new, files("s", attempt, D), attempt, replacing=taken)
        assert done == Committed(number + 9)
    assert len(catalogue.sources("s")) == 15
    assert catalogue.audit("s") == []


# Damage


def test_a_lost_claim_of_a_commit_is_damage(table: Hooked, catalogue: TableCatalogue) -> None:
    """Its intents are not taken over."""
    gone = of_commit(catalogue, 1)
    made = compact(catalogue, gone)
    del table.items[CLAIM][made.path.rpartition("/")[2].partition("-")[0]]
    attempt = new_attempt()
    with pytest.raises(FormatError, match=r"claims .*was committed, is missing.*dataflow recover"):
        catalogue.replace("s", gone[:1], [merged(gone[:1], attempt)], attempt)
    assert any("no claim" in problem for problem in catalogue.audit("s"))


def test_what_verify_finds(table: Hooked, catalogue: TableCatalogue) -> None:
    gone = of_commit(catalogue, 1)
    compact(catalogue, gone)
    catalogue.note_erased("s", [digest("x")], new_attempt())
    assert catalogue.audit("s") == []
    whole = {partition: dict(part) for partition, part in table.items.items()}
    for partition, sort, text in (
        (DEL, gone[7].path, "without an item that guards it"),
        ("s/ERASED", None, "no item for the key"),
    ):
        table.items = {name: dict(part) for name, part in whole.items()}
        del table.items[partition][sort or next(iter(table.items[partition]))]
        assert any(text in problem for problem in catalogue.audit("s"))
    with pytest.raises(FormatError, match=r"list of erased keys .*it has 0, not 1"):
        catalogue.erased("s")


def test_a_lost_list_of_replaced_files(
    table: Hooked, catalogue: TableCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.catalogue.commits.MAX_ITEM", 5_000)
    compact(catalogue, of_commit(catalogue, 1))
    record = list(catalogue.records("s"))[-1]
    assert record.del_lists
    assert len(record.dels) == 150
    for sort in table.items[FILES]:
        if sort.endswith(record.del_lists[0]):
            del table.items[FILES][sort]
            break
    with pytest.raises(DataflowError, match=r"list .* of the files of commit 3 .*missing.*dataflow recover"):
        list(catalogue.gone("s"))


@pytest.mark.parametrize("lag", [False, True], ids=["index", "tail"])
def test_a_lost_file_that_reaches_into_the_range(table: Hooked, catalogue: TableCatalogue, lag: bool) -> None:
    """Its row is on a day long before the range; without it the range is incomplete, not smaller."""
    some = [file for file in of_commit(catalogue, 1) if file.day in (D + 1, D + 40)]
    if lag:
        catalogue._catch_up = lambda steps: run(table, steps.note_head())  # type: ignore[method-assign]
    made = compact(catalogue, some)
    found = catalogue.snapshot("s", (D + 30) * DAY, (D + 31) * DAY).files
    assert found[0].path == made.path
    assert len(found) == 2
    partition = "s/DAY#2024-03"
    day = [sort for sort in table.items[partition] if sort.startswith("2024-03-19#")]
    del table.items[partition][day[-1]]  # the wide file's, or the one that it replaced, as the log beyond says
    with pytest.raises((IncompleteResult, FormatError), match="dataflow recover"):
        TableCatalogue(table).snapshot("s", (D + 30) * DAY, (D + 31) * DAY)


# Salvage


def test_a_stream_that_is_kept_is_salvaged(
    table: Hooked, catalogue: TableCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From its log: sources taken back, deletions, erased keys, floor; also if these items are lost."""
    monkeypatch.setattr("runtime.catalogue.commits.MAX_ITEM", 5_000)
    compact(catalogue, of_commit(catalogue, 1))
    gone = of_commit(catalogue, 2)
    catalogue.undo("s", ids("b"), gone, [], new_attempt(), left_of(catalogue, gone))
    catalogue.note_erased("s", [digest("x")], new_attempt())
    catalogue.raise_floor("s", D + 5, [], [], new_attempt(), left_of(catalogue, []))
    add(catalogue, "c", D + 9)
    everything = {(partition, sort): item for partition, part in table.items.items() for sort, item in part.items()}
    for lost_parts in ((), ("s/DEL", "s/ERASED", "s/SRC")):
        items = {place: item for place, item in everything.items() if place[0] not in lost_parts}
        (found,) = found_in("here", items)
        other = TableCatalogue(LockedTable())
        assert len(run(other.table, write_steps(found, 100))) == (3 if lost_parts else 0)
        assert other.audit("s") == []
        assert list(other.records("s")) == list(catalogue.records("s"))
        assert other.erased("s") == catalogue.erased("s")
        assert list(other.gone("s")) == list(catalogue.gone("s"))
        snapshot = other.snapshot("s")
        assert list(snapshot.files) == list(catalogue.snapshot("s").files)
        assert (snapshot.floor, snapshot.undone) == (D + 5, 1)
        known = other.is_ingested("s", source("b").id)
        assert known is not None
        assert known.undone == 4
        assert other.replaced("s", gone[0].path) == 4
