"""Processes that take a delivery over from one another: no id is given twice, and nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.errors import QueryError
from runtime.live.deliveries import KeptDeliveries
from tests.runtime.live.test_deliveries import Receiver, answer, deliverer, put, rows_after


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_two_of_one_name(store: Store) -> None:
    put(store, 1)
    one = deliverer(store, Receiver())
    deliverer(store, Receiver())
    with pytest.raises(QueryError, match="another process delivers as 'n' now"):
        one.step()


def test_who_took_over_keeps_its_state(store: Store) -> None:
    """The process before finds out only when it has kept something itself: it deletes nothing of the new one's."""
    put(store, 1)
    old = deliverer(store, Receiver())
    old.step()
    put(store, 61)
    sink = Receiver()
    new = deliverer(store, sink)
    new.step()
    with pytest.raises(QueryError, match="another process delivers as 'n' now"):
        old.step()
    put(store, 121)
    assert new.step() is not None
    again = deliverer(store, sink)
    assert again.step() is None
    assert [one.id for one in sink.taken] == ["n/e/2", "n/e/3"]


def test_what_is_delivered_while_another_takes_over(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the process before keeps after the new one has read the last state gets no id twice."""
    put(store, 1)
    sink = Receiver()
    old = deliverer(store, sink)
    old.step()
    put(store, 61)
    read = KeptDeliveries._read

    def slowly(self: KeptDeliveries, path: str) -> Any:
        found = read(self, path)
        if len(sink.taken) == 1:
            old.step()
            put(store, 121)
        return found

    monkeypatch.setattr(KeptDeliveries, "_read", slowly)
    deliverer(store, sink).step()
    assert [one.id for one in sink.once()] == ["n/e/1", "n/e/2", "n/e/3"]
    assert rows_after(sink.once()) == answer(store)


def test_who_begins_with_a_state_that_was_not_noted_notes_it(store: Store) -> None:
    """Of two states that were kept too late, both first ones, nobody begins with the other one."""
    put(store, 1)
    sink = Receiver()
    late = [deliverer(store, sink, epoch="a"), deliverer(store, sink, epoch="b")]
    deliverer(store, sink, epoch="c")
    with pytest.raises(QueryError, match="another process"):
        late[0].step()
    deliverer(store, sink, epoch="d").step()
    with pytest.raises(QueryError, match="another process"):
        late[1].step()
    put(store, 61)
    deliverer(store, sink, epoch="e").step()
    assert [one.id for one in sink.taken] == ["n/a/1", "n/a/2"]


@pytest.mark.parametrize("what", ["state", "events"])
def test_what_the_process_before_deletes_meanwhile(store: Store, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """The state that was listed, as the next one is kept; or the events, as they are delivered."""
    put(store, 1)
    sink = Receiver()
    old = deliverer(store, sink)
    old.step()
    put(store, 61)
    read, left = KeptDeliveries._read, [True]

    def slowly(self: KeptDeliveries, path: str) -> Any:
        if left and what == ("events" if "events" in path else "state"):
            left.clear()
            if what == "state":
                old.step()
            else:
                store.objects.delete(path)
        return read(self, path)

    if what == "events":
        sink.after = SystemExit()
        with pytest.raises(SystemExit):
            old.step()
    monkeypatch.setattr(KeptDeliveries, "_read", slowly)
    new = deliverer(store, sink)
    put(store, 121)
    new.step()
    assert not left
    assert [one.id for one in sink.once()] == ["n/e/1", "n/e/2", "n/e/3"]
    assert rows_after(sink.once()) == answer(store)
