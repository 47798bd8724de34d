"""Changes delivered: under the same ids however often the process ends, and all of them the answer."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.errors import FormatError, QueryError, SnapshotTooOld
from runtime.live import RowChange, applied
from runtime.live.alerts import Alert
from runtime.live.deliveries import Deliverer, KeptDeliveries, deliver, deliver_once
from runtime.live.following import FollowOptions
from runtime.live.sinks.sink import Delivery, SinkUnavailable

BY_MINUTE = df.stream("p").group_by(m=df.time().truncate("1m")).agg(n=df.count(), keys=df.count_distinct("k"))
OPTIONS = FollowOptions.of("10ms", "0s", None, "changes")


def put(store: Store, *times: int, key: str = "a") -> None:
    store.ingest("p", {"k": [key] * len(times), "t": list(times)}, key="k", time="t", unit="s", progress=False)


class Killed(BaseException):
    """SIGKILL."""


class Receiver:
    """A sink that may fail, or end the process, before it takes a delivery or after; what it took, also twice."""

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.before: BaseException | None = None
        self.after: BaseException | None = None

    def position(self) -> Any:
        return len(self.taken)

    def deliver(self, delivery: Delivery) -> None:
        before, self.before = self.before, None
        if before is not None:
            raise before
        self.taken.append(delivery)
        after, self.after = self.after, None
        if after is not None:
            raise after

    def close(self) -> None:
        """Nothing is open."""

    def once(self) -> list[Delivery]:
        """The deliveries without those that came again, which must be the same."""
        found: dict[str, Delivery] = {}
        for one in self.taken:
            assert found.setdefault(one.id, one).events == one.events
        return list(found.values())


def deliverer(
    store: Store, sink: Receiver, query: str = "q", epoch: str = "e", trigger: df.Trigger | None = None
) -> Deliverer:
    follower, _ = store._followed(BY_MINUTE, None, None, replace(OPTIONS, trigger=trigger))
    return Deliverer(follower, sink, KeptDeliveries(store.objects, store.catalogue, "n", query, epoch=epoch))


def test_a_single_look(tmp_path: Path) -> None:
    """It delivers what waits and what has changed, and nothing when nothing has; a sink that is away is an error."""
    store, sink = Store(tmp_path / "store", create=True), Receiver()
    put(store, 1, 70)
    one = deliverer(store, sink, trigger=df.trigger(rows=1_000))
    sink.before = SinkUnavailable("away")
    with pytest.raises(SinkUnavailable, match="away"):
        deliver_once(one)
    put(store, 80)
    assert [delivery.id for delivery in deliver_once(one)] == ["n/e/1", "n/e/2"]
    assert deliver_once(one) == []
    assert rows_after(sink.once()) == answer(store)


def test_a_single_look_at_files_that_are_replaced_all_the_time(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    put(store, 1)
    one = deliverer(store, Receiver())

    def replaced() -> Any:
        raise SnapshotTooOld("replaced")

    one.follower.ask = replaced
    with pytest.raises(QueryError, match="replaced while they were read, 10 times: nothing is lost"):
        deliver_once(one)


def rows_after(deliveries: list[Delivery]) -> list[Any]:
    """What the changes applied in order are."""
    changes = [
        RowChange(e["pane"], e["old"], e["new"], e["left"], e["place"], None, e["snapshot"], e["proof"], e["more"])
        for one in deliveries
        for e in one.events
    ]
    return applied([], changes)


def answer(store: Store) -> list[Any]:
    found = store.query(BY_MINUTE, progress=False).to_dict()
    columns, rows = found["columns"], found["rows"]
    return [dict(zip(columns, row, strict=True)) for row in rows]  # type: ignore[call-overload, attr-defined]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def test_it_goes_on_where_it_was(store: Store) -> None:
    sink = Receiver()
    put(store, 1, 70)
    assert deliverer(store, sink).step() is not None
    assert deliverer(store, sink).step() is None
    put(store, 2)
    one = deliverer(store, sink).step()
    assert one is not None
    assert [(e["id"], e["old"]["n"], e["new"]["n"]) for e in one.events] == [("n/e/2/1", 1, 2)]
    assert rows_after(sink.taken) == answer(store)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_delivery_that_was_interrupted_comes_again(store: Store, when: str) -> None:
    sink = Receiver()
    put(store, 1)
    setattr(sink, when, Killed())
    with pytest.raises(Killed):
        deliverer(store, sink).step()
    put(store, 2, 70)  # what comes meanwhile is not in it
    again = deliverer(store, sink)
    first = again.step()
    assert first is not None
    assert (first.id, first.is_again, first.position, len(first.events)) == ("n/e/1", True, 0, 1)
    assert first.events[0]["new"]["n"] == 1
    assert again.step() is not None
    assert [one.id for one in sink.once()] == ["n/e/1", "n/e/2"]
    assert rows_after(sink.once()) == answer(store)


def test_a_sink_that_is_away_is_waited_for(store: Store) -> None:
    sink, said, stop = Receiver(), [], threading.Event()
    put(store, 1)
    one = deliverer(store, sink)
    tries = iter([SinkUnavailable("away"), SinkUnavailable("away"), SinkUnavailable("still away")])
    take = sink.deliver

    def failing(delivery: Delivery) -> None:
        for error in tries:
            raise error
        take(delivery)
        stop.set()

    sink.deliver = failing  # type: ignore[method-assign]
    assert deliver(one, 0.001, None, stop, None, said.append, clock=lambda: 0.0) == 1
    assert said == ["away; it is tried again", "still away; it is tried again"]
    assert len(sink.taken) == 1


def test_a_sink_that_says_when_is_waited_for_so_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, stop, waits = Receiver(), threading.Event(), list[float]()
    put(store, 1)
    sink.before = away = SinkUnavailable("away")
    away.seconds = 90.0

    def wait(timeout: float | None = None) -> bool:
        assert timeout is not None
        waits.append(timeout)
        if len(waits) == 2:
            stop.set()
        return stop.is_set()

    monkeypatch.setattr(stop, "wait", wait)
    assert deliver(deliverer(store, sink), 0.5, None, stop, None, None, clock=lambda: 0.0) == 1
    assert waits == [90.0, 0.5]


def test_what_a_trigger_holds_back_comes_after_a_restart(store: Store) -> None:
    """Also those that came while nothing looked, and by another trigger."""
    sink, three = Receiver(), df.trigger(rows=3)
    put(store, 1, 2)
    assert deliverer(store, sink, trigger=three).step() is None
    put(store, 70)
    assert deliverer(store, sink, trigger=three).step() is not None
    put(store, 3, 71)
    assert deliverer(store, sink, trigger=three).step() is None
    put(store, 4)
    assert deliverer(store, sink, trigger=three).step() is not None
    put(store, 5)
    assert deliverer(store, sink, trigger=three).step() is None
    assert deliverer(store, sink, trigger=df.trigger(watermark=True, late=df.trigger(commit=True))).step() is not None
    assert [one.id for one in sink.taken] == ["n/e/1", "n/e/2", "n/e/3"]
    assert rows_after(sink.taken) == answer(store)


def test_the_rest_is_delivered_when_nothing_comes(store: Store) -> None:
    sink, clock = Receiver(), iter(range(100))
    put(store, 1)
    sink.before = SinkUnavailable("away")
    held = deliverer(store, sink, trigger=df.trigger(rows=5))
    stop = threading.Event()
    assert deliver(held, 0.001, 9, stop, None, None, clock=lambda: float(next(clock))) == 1
    assert rows_after(sink.taken) == answer(store)
    put(store, 2)
    stop.set()  # what is held back then comes after the next start
    assert deliver(held, 0.001, 9, stop, None, None, clock=lambda: 0.0) == 0
    assert deliverer(store, sink).step() is not None
    assert rows_after(sink.taken) == answer(store)


def test_one_that_refuses_loses_nothing(store: Store) -> None:
    sink = Receiver()
    put(store, 1)
    sink.before = QueryError("refused")
    with pytest.raises(QueryError, match="refused"):
        deliverer(store, sink).step()
    assert deliverer(store, sink).step() is not None
    assert rows_after(sink.taken) == answer(store)


def test_another_metric_under_the_same_name(store: Store) -> None:
    put(store, 1)
    deliverer(store, Receiver()).step()
    with pytest.raises(QueryError, match=r"another metric, .* is delivered as 'n': deliver this one"):
        deliverer(store, Receiver(), query="other")
    assert deliverer(store, Receiver()).step() is None  # the first goes on


def test_what_is_kept_is_little_and_checked(store: Store) -> None:
    for n in range(3):
        put(store, 60 * n)
        deliverer(store, Receiver()).step()
    (kept,) = store.objects.list("deliveries/n/")
    path = Path(store.objects.root) / kept.path  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(FormatError, match="is damaged"):
        deliverer(store, Receiver())
    path.unlink()
    sink = Receiver()
    deliverer(store, sink, epoch="f").step()  # all anew, under new ids
    assert [one.id for one in sink.taken] == ["n/f/1"]
    assert rows_after(sink.taken) == answer(store)


def test_nothing_of_an_erased_key_is_kept(store: Store) -> None:
    put(store, 1)
    put(store, 2, key="secret")
    deliverer(store, Receiver()).step()
    assert list(store.objects.list("deliveries/"))
    store.erase("p", "secret")
    assert not list(store.objects.list("deliveries/"))
    sink = Receiver()
    deliverer(store, sink).step()
    assert rows_after(sink.taken) == answer(store)


def test_nothing_of_a_key_that_is_erased_meanwhile_is_kept(store: Store) -> None:
    """The old row is delivered as one that went, and is not kept after that."""
    put(store, 1)
    put(store, 2, key="secret")
    sink = Receiver()
    follower, _ = store._followed(df.stream("p").group_by("k").agg(n=df.count()), None, None, OPTIONS)
    one = Deliverer(follower, sink, KeptDeliveries(store.objects, store.catalogue, "n", "q"))
    one.step()
    store.erase("p", "secret")
    delivered = one.step()
    assert delivered is not None
    assert [(e["old"], e["new"]) for e in delivered.events] == [({"k": "secret", "n": 1}, None)]
    kept = [store.objects.read(info.path, 0, info.size) for info in store.objects.list("deliveries/")]
    assert len(kept) == 1
    assert b"secret" not in zstandard.ZstdDecompressor().decompress(kept[0])


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "step", "step", "restart", "before", "after", "away", "compact", "undo"]),
        st.integers(0, 300),
    ),
    max_size=15,
)


HELD = st.sampled_from(
    [None, df.trigger(rows=3), df.trigger(watermark=True), df.trigger(watermark=True, early=df.trigger(rows=5))]
)


@settings(max_examples=max(10, settings().max_examples // 2))
@given(EVENTS, HELD)
def test_deliveries_applied_in_order_are_the_answer(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]], trigger: df.Trigger | None
) -> None:
    sink = Receiver()
    with Store(tmp_path_factory.mktemp("deliveries") / "store", create=True) as store:
        put(store, 0)
        one = deliverer(store, sink, trigger=trigger)
        for kind, at in events:
            if kind == "put":
                put(store, at, at // 2, key="ab"[at % 2])
            elif kind == "compact":
                store.compact("p")
            elif kind == "undo" and len(sources := [s.short for s in store.sources("p")]) > 1:
                store.undo("p", sources[at % len(sources)])
            elif kind == "restart":
                one = deliverer(store, sink, trigger=trigger)
            elif kind in ("before", "after", "away"):
                setattr(
                    sink, "after" if kind == "after" else "before", SinkUnavailable("x") if kind == "away" else Killed()
                )
                try:
                    one.step()
                except SinkUnavailable:
                    pass
                except Killed:
                    one = deliverer(store, sink, trigger=trigger)
                sink.before = sink.after = None
            else:
                one.step()
        for _ in range(2):
            one.step(is_last=True)
        assert rows_after(sink.once()) == answer(store)
        assert [one.id for one in sink.once()] == [f"n/e/{n}" for n in range(1, len(sink.once()) + 1)]


MUTANTS = {
    "what was interrupted is not delivered again": lambda patch: patch.setattr(
        KeptDeliveries, "take", _delivered(KeptDeliveries.take)
    ),
    "the events are not kept": lambda patch: patch.setattr(
        KeptDeliveries, "keep", _without_events(KeptDeliveries.keep)
    ),
    "where the follower was is forgotten": lambda patch: patch.setattr(
        "runtime.live.following.Follower.restore", lambda self, state: None
    ),
}


def _delivered(take: Any) -> Any:
    return lambda self: (take(self)[0], ())


def _without_events(keep: Any) -> Any:
    return lambda self, state, events: keep(self, state, ())


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    MUTANTS[mutant](monkeypatch)
    few = settings(max_examples=200, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    law = test_deliveries_applied_in_order_are_the_answer.hypothesis.inner_test  # type: ignore[attr-defined]
    with pytest.raises((AssertionError, ExceptionGroup, ValueError)):
        few(given(EVENTS, HELD)(lambda events, trigger: law(tmp_path_factory, events, trigger)))()


def test_a_catalogue_that_was_lost_gives_no_id_twice(store: Store) -> None:
    sink = Receiver()
    put(store, 1)
    put(store, 61)
    deliverer(store, sink).step()
    put(store, 121)
    sink.after = Killed()
    with pytest.raises(Killed):
        deliverer(store, sink).step()
    root = Path(store.objects.root)  # type: ignore[attr-defined]
    store.close()
    for path in root.glob("catalogue*"):
        path.unlink()
    Store(root).recover()
    put(new := Store(root), 2)
    one = deliverer(new, sink, epoch="f")
    while one.step() is not None:
        pass
    assert [one.id for one in sink.once()] == ["n/e/1", "n/e/2", "n/e/3"]
    assert rows_after(sink.once()) == answer(new)


# ---- what a user calls


def test_what_is_another_delivery(store: Store, tmp_path: Path) -> None:
    above = df.stream("p").group_by("k").agg(n=df.count()).filter(df.col("n") > df.param("least", 0))
    put(store, 1)
    quick: dict[str, Any] = {"every": "5ms", "until_idle": "10ms", "name": "n"}
    first = str(tmp_path / "out")
    assert store.deliver(above, first, params={"least": 0}, **quick) == 1
    for to, other in [(first, {"params": {"least": 3}}), (first, {"since": "1970-01-02"}), (f"{first}2", {}),
                      (first, {"alert": Alert("n")}), (first, {"lateness": "1m"})]:  # fmt: skip
        with pytest.raises(QueryError, match=r"another metric, or with another .* is delivered as 'n'"):
            store.deliver(above, to, **{"params": {"least": 0}, **other}, **quick)
    assert store.deliver(above, first, params={"least": 0}, **quick) == 0


def test_two_deliveries_to_one_file(store: Store, tmp_path: Path) -> None:
    put(store, 1)
    with pytest.raises(QueryError, match="is written by another delivery"):
        store.deliver(
            BY_MINUTE, str(tmp_path / "out"), name="one", every="5ms", until_idle="1s",
            on_delivery=lambda delivery: store.deliver(BY_MINUTE, str(tmp_path / "out"), name="two"),
        )  # fmt: skip


def test_a_file_has_each_event_once(store: Store, tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    for n in range(3):
        put(store, 60 * n)
        assert store.deliver(BY_MINUTE, str(out), name="n", every="5ms", until_idle="20ms") == 1
    events = [json.loads(line) for line in out.read_text().splitlines()]
    ids = [e["id"].split("/") for e in events]
    assert {(name, epoch) for name, epoch, *_ in ids} == {("n", ids[0][1])}
    assert ["/".join(rest) for _, _, *rest in ids] == ["1/1", "2/1", "2/2", "3/1", "3/2"]
    assert rows_after([Delivery("", tuple(events))]) == answer(store)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "out"}, "it needs a name, under which it goes on"),
        ({"to": "out", "name": "a/b"}, "a name for deliveries has letters"),
        ({"to": "out", "name": 5}, "a name for deliveries has letters"),
        ({"to": "https://", "name": "n"}, "is no URL such as https://example.org/hook"),
        ({"to": "https://me:pw@x/", "name": "n"}, "is no URL such as"),
        ({"to": "https://x:99999/", "name": "n"}, "is no URL such as"),
        ({"to": "https://x/a b", "name": "n"}, "is no URL such as"),
        ({"to": "https://[::1/x", "name": "n"}, "is no URL such as"),
        ({"to": "https://x", "name": "n", "connection": {"authorization": "ü"}}, "settings of a webhook are ASCII"),
        ({"to": "ftp://x", "name": "n"}, "a sink is a file, - for standard output"),
        ({"to": "out", "name": "n", "connection": {"a": "b"}}, "only https://, kafka:// and sns:// have settings"),
        ({"to": "https://x", "name": "n", "connection": {"secrets": "b"}}, "no setting secrets of a webhook; did you"),
        ({"to": "https://x", "name": "n", "connection": {"secret": "whsec_?"}}, "whsec_ and a key in base64"),
        ({"to": "nothing/out", "name": "n"}, "nothing/out cannot be written: No such file"),
        ({"to": "kafka://b/t?group=g", "name": "n"}, "has neither a group nor columns"),
        ({"to": "-", "mode": "table"}, "mode is 'changes' or 'final'"),
        ({"to": "-", "alert": Alert("n"), "mode": "final"}, "and of an alert 'changes'"),
        ({"to": "-", "alert": Alert()}, "an alert has a condition, either when="),
        ({"to": "-", "alert": Alert("n", "m")}, "an alert has a condition, either when="),
        ({"to": "-", "alert": Alert(silent_since="m")}, "silent_since= needs hold="),
        ({"to": "-", "alert": Alert("n", hold="x")}, r"alert\(hold\)"),
        ({"to": "-", "alert": Alert("nn")}, "there is no column 'nn' in the answer; did you mean 'n'"),
        ({"to": "-", "alert": Alert("n")}, "column 'n' is int64, it must be true or false"),
        ({"to": "-", "alert": Alert(silent_since="n", hold="1m")}, "column 'n' is int64, it must be a time"),
    ],
)
def test_mistakes(store: Store, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], said: str) -> None:
    monkeypatch.chdir(Path(store.objects.root).parent)  # type: ignore[attr-defined]
    put(store, 1)
    with pytest.raises(QueryError, match=said):
        store.deliver(BY_MINUTE, options.pop("to"), every="5ms", until_idle="10ms", **options)
