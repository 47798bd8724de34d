"""Following a store: panes, triggers, modes, options, several streams, what is read, and the page about it."""

from __future__ import annotations

import re
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.errors import SnapshotTooOld
from runtime.ingest.inputs.identity import declared_identity
from runtime.live import RowChange, applied
from runtime.live.following import FollowOptions
from tests.runtime.live.followed import Receiver, follower, rows_of

ROOT = Path(df.__file__).parents[1]
HOUR = 3600
P = df.stream("p")
BY_HOUR = P.group_by(h=df.time().truncate("1h")).agg(n=df.count())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


def put(store: Store, *times: int, stream: str = "p", key: str = "a") -> str:
    """Ingest points; the id of their source."""
    columns = {"k": [key] * len(times), "t": list(times), "n": list(range(len(times)))}
    name = f"{key} {times}"
    store.ingest(stream, columns, key="k", time="t", unit="s", source=name, progress=False)
    return declared_identity(name)


def told(receiver: Receiver) -> list[tuple[str, Any, Any]]:
    """The panes since the last call, with hour and number."""
    found = [(c.pane, _hour(c), None if c.new is None else c.new["n"]) for c in receiver.changes]
    receiver.changes.clear()
    return found


def _hour(change: RowChange) -> int:
    row = change.new or change.old
    assert row is not None
    return int(str(row["h"])[11:13])


def test_panes(store: Store) -> None:
    put(store, 5, HOUR + 5)
    receiver = Receiver(follower(store, BY_HOUR, lateness="10m"))
    receiver.look()
    assert told(receiver) == [("early", 0, 1), ("early", 1, 1)]
    put(store, HOUR + 700)  # the watermark passes the end of the first hour, which is as it was
    receiver.look()
    assert told(receiver) == [("on_time", 0, 1), ("early", 1, 2)]
    late = put(store, 7)
    receiver.look()
    assert told(receiver) == [("late", 0, 2)]
    newest = put(store, 9 * HOUR)
    receiver.look()
    assert told(receiver) == [("on_time", 1, 2), ("early", 9, 1)]
    mark = receiver.of.watermark
    store.undo("p", late, newest)
    receiver.look()
    assert told(receiver) == [("early", 9, None), ("late", 0, 1)]
    assert receiver.of.watermark == mark


def test_final_rows_are_emitted_once_and_then_corrected(store: Store) -> None:
    sessions = P.sessionize("30m", max_length="6h").group_by(h=df.col("start").truncate("1h")).agg(n=df.count())
    put(store, 5, HOUR + 5)
    receiver = Receiver(follower(store, sessions, "final"))
    receiver.look()
    put(store, 5 * HOUR)
    receiver.look()
    assert told(receiver) == []  # a session that began in the first hour could go on
    put(store, 9 * HOUR)
    receiver.look()
    assert told(receiver) == [("on_time", 0, 1), ("on_time", 1, 1)]
    put(store, 7, key="b")
    receiver.look()
    assert told(receiver) == [("late", 0, 2)]
    assert receiver.rows == rows_of(store.query(sessions, until=2 * HOUR * 1_000_000, progress=False))


@pytest.mark.parametrize(
    ("metric", "second"),
    [(P.sessionize("30m"), 1800), (P.heartbeat("30m").filter(df.col("alive")), 1800)],
)
def test_a_point_at_the_very_end_of_a_row_is_not_late(store: Store, metric: df.Stream, second: int) -> None:
    put(store, 0)
    put(store, second, key="b")  # the watermark reaches what could be the end
    receiver = Receiver(follower(store, metric, "final"))
    receiver.look()
    put(store, second)
    receiver.look()
    put(store, 9 * HOUR)
    receiver.look()
    assert {c.pane for c in receiver.changes} == {"on_time"}
    assert receiver.rows[0]["end"] == rows_of(store.query(metric, progress=False))[0]["end"]


def test_rows_that_move_keep_their_values(store: Store) -> None:
    by_number = P.group_by("k").agg(n=df.count()).sort("n", descending=True)
    put(store, 1, 2, key="a")
    put(store, 3, key="b")
    receiver = Receiver(follower(store, by_number))
    receiver.look()
    put(store, 4, 5, key="b")
    answer = receiver.look()
    assert answer is not None
    assert [(c.old, c.new, c.left, c.place) for c in answer.changes] == [({"k": "b", "n": 1}, {"k": "b", "n": 3}, 1, 0)]
    assert receiver.rows == rows_of(answer.result)


def test_the_watermark_of_several_streams_is_the_oldest(store: Store) -> None:
    put(store, 1, 5000)
    put(store, 2, stream="q")
    both = df.union(P, df.stream("q")).group_by(h=df.time().truncate("1h")).agg(n=df.count())
    receiver = Receiver(follower(store, both))
    first = receiver.look()
    assert first is not None
    assert (first.watermark, first.snapshot) == (2_000_000, {"p": 1, "q": 1})
    put(store, 4000, stream="q")
    second = receiver.look()
    assert second is not None
    assert (second.watermark, second.snapshot) == (4_000_000_000, {"p": 1, "q": 2})
    assert [c.pane for c in second.changes] == ["on_time", "early"]


def test_an_answer_of_no_points(store: Store) -> None:
    put(store, 5)
    receiver = Receiver(follower(store, BY_HOUR, since=HOUR * 1_000_000))
    answer = receiver.look()
    assert answer is not None
    assert (answer.changes, answer.watermark, receiver.rows) == ((), 5_000_000, [])
    put(store, 2 * HOUR)
    receiver.look()
    assert told(receiver) == [("early", 2, 1)]


def test_only_new_files_are_read(store: Store) -> None:
    for day in range(5):
        put(store, day * 24 * HOUR + 5)
    follow = follower(store, BY_HOUR)
    follow.step()
    put(store, 5 * 24 * HOUR)
    answer = follow.step()
    assert answer is not None
    assert answer.result.proof.to_dict()["files_cached"] == 5
    again = follower(store, BY_HOUR).step()  # as after a restart
    assert again is not None
    assert again.result.proof.to_dict()["files_cached"] == 6
    assert len(again.changes) == 6


def test_a_published_query_by_name(store: Store) -> None:
    put(store, 5)
    store.publish(BY_HOUR.filter(df.col("n") >= df.param("least", 1)), "hourly")
    (change,) = store.follow("hourly", every="1ms", until_idle="1ms")
    assert (change.pane, change.more) == ("early", 0)
    assert list(store.follow("hourly", params={"least": 2}, every="1ms", until_idle="1ms")) == []


def test_whole_answers(store: Store) -> None:
    put(store, 5)
    (answer,) = store.follow(BY_HOUR, every="1ms", until_idle="1ms", mode="table")
    assert answer.to_dict() == {
        "columns": ["h", "n"], "rows": [["1970-01-01T00:00:00.000000Z", 1]], "watermark": "1970-01-01T00:00:05.000000Z",
        "snapshot": 1, "proof": store.query(BY_HOUR).proof.to_dict()["result"],
    }  # fmt: skip
    assert applied([], answer.changes) == [{"h": "1970-01-01T00:00:00.000000Z", "n": 1}]


def test_what_another_thread_ingests_is_seen(store: Store) -> None:
    put(store, 5)
    found, other = [], threading.Thread(target=put, args=(store, 6))
    for change in store.follow(BY_HOUR, every="5ms", until_idle="10s"):
        found.append((change.pane, change.new))
        if len(found) == 1:
            other.start()
        else:
            break
    other.join()  # its commit was seen before it had returned
    assert [new["n"] for _, new in found if new is not None] == [1, 2]


def test_a_file_that_was_replaced_meanwhile_is_read_at_the_next_look(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, 5)
    follow = follower(store, BY_HOUR)
    ask, answers = follow.ask, iter([SnapshotTooOld("replaced")])

    def replaced() -> Any:
        for error in answers:
            raise error
        return ask()

    monkeypatch.setattr(follow, "ask", replaced)
    assert follow.step() is None
    assert follow.step() is not None


def test_the_last_rows_come_at_the_end(store: Store) -> None:
    put(store, 5)
    options: dict[str, Any] = {"every": "1ms", "until_idle": "5ms"}
    assert [c.new for c in store.follow(BY_HOUR, trigger=df.trigger(rows=100), **options)] == rows_of(
        store.query(BY_HOUR, progress=False)
    )
    (answer,) = store.follow(BY_HOUR, trigger=df.trigger(watermark=True), mode="table", **options)
    assert len(answer.result) == 1
    assert list(store.follow(BY_HOUR, trigger=df.trigger(watermark=True), mode="final", **options)) == []


def test_a_metric_is_asked_only_when_points_suffice(store: Store) -> None:
    put(store, 5)
    follow = follower(store, BY_HOUR, trigger=df.trigger(rows=3))
    ask, asked = follow.ask, []
    follow.ask = lambda: asked.append(1) or ask()  # type: ignore[func-returns-value, assignment, return-value]
    for n in (6, 7):
        assert (follow.step(), asked) == (None, [])
        put(store, n)
    answer = follow.step()
    assert answer is not None
    assert (len(asked), answer.snapshot, follow.step()) == (1, 3, None)


def test_points_of_several_streams_are_counted(store: Store) -> None:
    put(store, 1)
    put(store, 2, 3, stream="q")
    both = df.union(P, df.stream("q")).group_by(h=df.time().truncate("1h")).agg(n=df.count())
    follow = follower(store, both, trigger=df.trigger(rows=3))
    assert follow.step() is not None
    put(store, 4, 5, stream="q")
    assert follow.step() is None
    put(store, 6)
    assert follow.step() is not None


def test_a_published_trigger_is_the_default(store: Store) -> None:
    put(store, 5)
    store.publish(BY_HOUR, "hourly", trigger=df.trigger(rows=2))
    assert store.follower("hourly").step() is None
    assert store.follower("hourly", trigger=df.trigger(commit=True)).step() is not None
    put(store, 6)
    assert store.follower("hourly").step() is not None
    assert store.follower(BY_HOUR).trigger == df.trigger(commit=True)


def test_looks_that_are_as_often_as_emissions_are_all_used(store: Store) -> None:
    now = 0.0
    follow = follower(store, BY_HOUR, trigger=df.trigger("1s"), clock=lambda: now)
    for n in range(4):
        put(store, n)
        assert follow.step() is not None
        now += 0.9999  # as a clock counts that was asked a moment later before
    put(store, 9)
    now -= 0.5
    assert follow.step() is None


def test_how_often_a_store_is_looked_at() -> None:
    options = FollowOptions.of(None, "0s", None, "changes")
    late = df.trigger(watermark=True, late=df.trigger("2s"))
    assert [options.pause(t) for t in (df.trigger(rows=1), df.trigger("1s"), df.trigger("1m"), late)] == [5, 1, 5, 2]
    assert FollowOptions.of("9s", "0s", None, "changes").pause(df.trigger("1s")) == 9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "tabel"}, "there is no mode 'tabel'; did you mean 'table'"),
        ({"every": "soon"}, r"follow\(every\): .*soon"),
        ({"every": timedelta(0)}, r"follow\(every\)"),
        ({"lateness": "-5m"}, r"follow\(lateness\)"),
        ({"until_idle": 5}, r"follow\(until_idle\)"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"mode": "final"}, "needs rows that end"),
        ({"trigger": "5s"}, r"a trigger is df.trigger\(...\), such as"),
        ({"trigger": df.trigger(watermark=True)}, "watermark=True needs rows that end"),
    ],
)
def test_wrong_options(store: Store, options: dict[str, Any], message: str) -> None:
    put(store, 5)
    with pytest.raises(DataflowError, match=message):
        list(store.follow(P.agg(n=df.count()), **{"every": "1ms", "until_idle": "1ms", **options}))


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    codes = re.findall(r"```python\n(.*?)```", (ROOT / "runtime" / "LIVE.md").read_text(), re.S)
    assert len(codes) == 3
    exec(compile("\n".join(codes), "LIVE.md", "exec"), {})
