"""The watermark of a stream: the oldest of its partitions' newest points, by the commits alone; it never goes back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.catalogue import Catalogue, Record
from runtime.ingest import ingest
from runtime.ingest.inputs.inputs import BytesInput
from runtime.live import stream_watermark
from runtime.live.chains import SourceChain
from runtime.live.stream_watermark import INGESTS, QuietPartitions, StreamWatermark
from runtime.live.watch_stream import StreamWatch
from tests.runtime.live.feeds.watched import OPTIONS, STREAM, lines
from tests.runtime.live.followed import Receiver, follower

SECOND = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def report(store: Store, partition: str, *seconds: int) -> None:
    """Commit points of a partition."""
    chain = SourceChain(store.catalogue, STREAM, partition, partition)
    number = chain.reached().number + 1
    identity = chain.identity(number)
    piece = BytesInput(Path("piece"), "piece", identity=identity, data=lines(*seconds, key=partition or "-").encode())
    ingest(store.objects, store.catalogue, STREAM, [piece], position=chain.position(number=number), **OPTIONS)


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


class Watching:
    """What a watcher does about partitions without points, by a clock of its own."""

    def __init__(self, store: Store, idle: float = 300.0) -> None:
        self.clock = Clock()
        self.quiet = QuietPartitions(StreamWatermark(store.catalogue, STREAM), idle, self.clock)
        self.stream = StreamWatch(store.catalogue, STREAM, lambda piece: pytest.fail("nothing is ingested"), OPTIONS)

    def look(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.stream.note_quiet(self.quiet)


def mark(store: Store) -> int | None:
    """The watermark in seconds, as a process reads it that has just begun."""
    found = StreamWatermark(store.catalogue, STREAM).at(store.catalogue.order(STREAM).seq)
    return None if found is None else found // SECOND


def test_the_oldest_of_the_partitions(store: Store) -> None:
    report(store, "a", 100, 90)
    assert mark(store) == 100
    report(store, "b", 70)
    assert mark(store) == 100  # it does not go back
    report(store, "a", 500)
    assert mark(store) == 100
    report(store, "b", 300)
    assert mark(store) == 300


def test_all_ingests_are_one_partition(store: Store) -> None:
    for seconds in ([10, 20], [5], [30]):
        store.ingest(
            STREAM, {"k": ["a"] * len(seconds), "t": seconds, "n": seconds}, key="k", time="t", unit="s", progress=False
        )
    assert StreamWatermark(store.catalogue, STREAM).at(1) == 20 * SECOND
    assert mark(store) == 30
    report(store, "feed", 25)
    report(store, "feed", 40)
    assert mark(store) == 30


def test_a_partition_without_points_is_left_out_by_a_commit(store: Store) -> None:
    report(store, "a", 100)
    report(store, INGESTS, 50)
    watching = Watching(store)
    watching.look()
    for n in range(1, 4):
        report(store, "a", 100 + n)
        watching.look(100.0)
    assert mark(store) == 103  # the ingests are not waited for after five minutes
    seq = store.catalogue.order(STREAM).seq
    watching.look(100.0)
    assert store.catalogue.order(STREAM).seq == seq
    assert StreamWatermark(store.catalogue, STREAM).at(seq - 1) == 100 * SECOND
    report(store, INGESTS, 60)  # it comes back, late
    report(store, "a", 200)
    assert mark(store) == 103
    report(store, INGESTS, 150)
    assert mark(store) == 150


def test_nothing_is_left_out_where_nothing_goes_on(store: Store) -> None:
    watching = Watching(store)
    watching.look()  # there is no stream yet
    report(store, "a", 100)
    report(store, "b", 50)
    seq = store.catalogue.order(STREAM).seq
    for _ in range(5):
        watching.look(300.0)
    assert store.catalogue.order(STREAM).seq == seq


def test_two_watchers_note_it_once(store: Store) -> None:
    report(store, "a", 100)
    report(store, "b", 50)
    both = [Watching(store), Watching(store)]
    for watching in both:
        watching.look()
    report(store, "a", 101)
    for watching in both:
        watching.look(300.0)
    assert len([s for s in store.sources(STREAM) if s.entry.name == "b: no points for a while"]) == 1


def test_who_follows_sees_rows_on_time_once_a_partition_is_left_out(store: Store) -> None:
    report(store, "b", 10)
    report(store, "a", 0, 3_700)
    receiver = Receiver(follower(store, df.stream(STREAM).group_by(h=df.time().truncate("1h")).agg(n=df.count())))
    receiver.look()
    watching = Watching(store)
    watching.look()
    report(store, "a", 3_800)
    receiver.look()
    watching.look(300.0)
    receiver.look()
    assert [(c.pane, (c.new or {})["n"]) for c in receiver.changes] == [
        ("early", 2), ("early", 1), ("early", 2), ("on_time", 2),
    ]  # fmt: skip


def test_what_is_noted_is_gone_on_with(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_watermark, "_OFTEN", 3)
    for n in range(4):
        report(store, "a", 100 + n)
    report(store, "b", 50)
    assert StreamWatermark(store.catalogue, STREAM, is_kept=True).at(3) == 102 * SECOND
    read: list[int] = []
    records = type(store.catalogue).records

    def counted(self: Catalogue, stream: str, after: int = 0) -> Iterator[Record]:
        read.append(after)
        return records(self, stream, after)  # type: ignore[arg-type]

    monkeypatch.setattr(type(store.catalogue), "records", counted)
    assert mark(store) == 103
    assert read == [3]
    assert StreamWatermark(store.catalogue, STREAM).at(2) == 101 * SECOND  # the note is beyond it
    store.catalogue.change_note(
        f"watermark of {STREAM}", lambda held: {**(held or {}), "hash": "of another log", "mark": 1}
    )
    assert mark(store) == 103
    report(store, "a", 110)
    report(store, "b", 104)
    assert mark(store) == 104


def test_partitions_begin_anew_with_the_stream(store: Store) -> None:
    report(store, "a", 100)
    report(store, "b", 50)
    followed = StreamWatermark(store.catalogue, STREAM)
    assert followed.at(2) == 100 * SECOND
    store.erase(STREAM)
    report(store, "a", 200)
    seq = store.catalogue.order(STREAM).seq
    assert (followed.at(seq), followed.newest) == (200 * SECOND, {"a": 200 * SECOND})
    assert mark(store) == 200


EVENTS = st.lists(
    st.tuples(st.sampled_from(["", "a", "b"]), st.sampled_from(["points", "points", "idle", "undo", "compact"]),
              st.lists(st.integers(0, 1_000), min_size=1, max_size=3)),
    max_size=12,
)  # fmt: skip


@settings(max_examples=30)
@given(EVENTS)
def test_the_watermark_as_defined(
    tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, str, list[int]]]
) -> None:
    with Store(tmp_path_factory.mktemp("marks") / "store", create=True) as store:
        report(store, "a", 0)
        commits: list[tuple[str, int | None]] = [
            ("a", 0)
        ]  # by commit: the partition, and its newest point or that it rests
        for partition, kind, seconds in events:
            if kind == "points":
                report(store, partition, *seconds)
                commits.append((partition, max(seconds)))
            elif kind == "idle":
                Watching(store).stream.note_quiet(_Named([partition]))  # type: ignore[arg-type]
                commits.append((partition, None))
            else:
                before = store.catalogue.order(STREAM).seq
                if kind == "undo":
                    there = [s.entry for s in store.sources(STREAM) if s.entry.rows_committed and not s.entry.undone]
                    if there:
                        store.undo(STREAM, there[0].id)
                else:
                    store.compact(STREAM)
                commits += [("", -1)] * (store.catalogue.order(STREAM).seq - before)
        one_by_one = StreamWatermark(store.catalogue, STREAM)
        for seq in range(1, len(commits) + 1):
            wanted = defined(commits[:seq])
            assert one_by_one.at(seq) == wanted * SECOND
            assert StreamWatermark(store.catalogue, STREAM).at(seq) == wanted * SECOND


class _Named:
    def __init__(self, names: list[str]) -> None:
        self.names = names

    def found(self) -> list[str]:
        return self.names


def defined(commits: list[tuple[str, int | None]]) -> int:
    """The greatest, over all moments, of the oldest newest point of a partition that did not rest then."""
    marks = []
    for n in range(1, len(commits) + 1):
        newest: list[int] = []
        for name in {name for name, _ in commits[:n]}:
            own = [t for of, t in commits[:n] if of == name and t != -1]
            since = own[len(own) - own[::-1].index(None) :] if None in own else own
            newest += [max(t for t in since if t is not None)] if since else []
        marks += [min(newest)] if newest else []
    return max(marks)


@pytest.mark.parametrize(
    "mutant",
    [
        ("mark = None", lambda self: setattr(self, "mark", None)),
        ("rests for ever", lambda self: self.newest.clear() if len(self.newest) > 1 else None),
    ],
    ids=lambda mutant: mutant[0],
)
def test_mutants(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: tuple[str, object]
) -> None:
    real = StreamWatermark._count

    def broken(self: StreamWatermark, record: object, position: object) -> None:
        mutant[1](self)  # type: ignore[operator]
        real(self, record, position)  # type: ignore[arg-type]

    monkeypatch.setattr(stream_watermark.StreamWatermark, "_count", broken)
    few = settings(max_examples=300, phases=[Phase.generate], database=None, deadline=None, derandomize=True)
    with pytest.raises((AssertionError, TypeError, ExceptionGroup)):
        few(
            given(EVENTS)(lambda events: test_the_watermark_as_defined.hypothesis.inner_test(tmp_path_factory, events))
        )()
