"""The functions that compact, retain and sweep: in turn, within their time, and what they say of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import dataflow as df
from deploy.handlers import compact, retain, sweep, turns
from deploy.handlers.environment import EnvironmentFault
from deploy.handlers.logs import Invocation
from deploy.handlers.turns import UpkeepFailed
from operators.errors import DataflowError
from runtime.store import Store
from runtime.upkeep import retaining
from runtime.upkeep.compaction import Compaction
from runtime.upkeep.retaining import set_policy
from runtime.upkeep.sweep import TooManyOrphans
from tests.deploy.handlers.deployed import STORE, Context, Lines
from tests.runtime.upkeep.stores import FIRST_DAY, ingest, orphans

DAY = 86_400_000_000
SUM = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"))


@pytest.fixture(autouse=True)
def invoked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The events of invocations that the functions start; and no retention, unless a test says so."""
    monkeypatch.setenv("ANTFOLD_KEEP", "{}")
    events: list[Any] = []
    for module in (compact, retain):
        monkeypatch.setattr(module, "invoke_again", lambda _: lambda payload: events.append(json.loads(payload)))
    return events


def filled(store: Store, *streams: str, files: int = 9, days: int = 1) -> None:
    for stream in streams:
        for number in range(files):
            ingest(store, number, stream, days)


def files(stream: str) -> int:
    return len(Store(STORE).files(stream))


def test_every_stream_has_its_turn(deployed: Store, lines: Callable[[], Lines], invoked: list[Any]) -> None:
    filled(deployed, "a", "b", "c")
    assert compact.handler({}, Context()) == {"streams": 3, "left": [], "failed": []}
    assert [files(s) for s in "abc"] == [1, 1, 1]
    logged = lines()
    order = [(line["event"], line["stream"]) for line in logged.all if line.get("event") in ("compacting", "compacted")]
    assert sorted(order[::2]) == [("compacting", s) for s in "abc"]  # the name comes before the work
    assert logged.metric("FilesReplaced") == 24
    assert logged.metric("RowsRewritten") == 27
    assert compact.handler({}, Context())["left"] == []
    assert lines().of("compacted") == []
    assert invoked == []


def test_none_always_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, at = ["a", "b", "c"], [0.0, 900.0, 1_800.0]
    monkeypatch.setattr(turns, "_now", lambda: at.pop())
    firsts = {turns.Turns(Invocation(), {}, "")._order(streams)[0] for _ in streams}
    assert firsts == set(streams)


def test_what_is_left_is_for_another_run(deployed: Store, lines: Callable[[], Lines], invoked: list[Any]) -> None:
    """It has little time: the first stream is begun, and the others are named; four runs at most."""
    filled(deployed, "a", "b", "c", "d", "e", "f")
    assert compact.handler({}, Context(61, 10))["streams"] == 1
    for link in range(1, turns.LINKS + 1):
        event = invoked.pop()
        assert (event["link"], len(event["left"])) == (link, 6 - link)
        assert compact.handler(event, Context(61, 10))["streams"] == 1
    assert invoked == []
    done = [s for s in "abcdef" if files(s) == 1]
    assert len(done) == turns.LINKS + 1
    assert [line["message"] for line in lines().of("no time left")] == [
        *["another run goes on"] * turns.LINKS, "the next scheduled run goes on",
    ]  # fmt: skip
    assert compact.handler({}, Context())["left"] == []
    assert [files(s) for s in "abcdef"] == [1] * 6


def test_a_stream_without_time_for_its_work_is_left(deployed: Store, invoked: list[Any]) -> None:
    filled(deployed, "a")
    assert compact.handler({}, Context(30)) == {"streams": 1, "left": ["a"], "failed": []}
    assert files("a") == 9
    assert invoked == [{"left": ["a"], "link": 1, "failed": []}]
    assert compact.handler(invoked[0], Context())["left"] == []
    assert files("a") == 1


def test_a_stream_that_fails(
    deployed: Store, lines: Callable[[], Lines], invoked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others go on; the error comes at the end of the last run, so that Lambda repeats no run that goes on."""
    filled(deployed, "a", "b")
    real = Compaction.what_is_due

    def failing(self: Compaction, *given: Any, **options: Any) -> Any:
        if self._stream == "a":
            raise MemoryError("out of memory")
        return real(self, *given, **options)

    monkeypatch.setattr(Compaction, "what_is_due", failing)
    monkeypatch.setattr(turns, "_now", lambda: 0)
    with pytest.raises(UpkeepFailed, match="not done for a: the lines of this log"):
        compact.handler({}, Context())
    assert files("b") == 1
    logged = lines()
    (line, _) = logged.of("failed")
    assert (line["stream"], line["error"]) == ("a", "MemoryError")
    assert logged.metric("StreamsFailed") == 1
    with pytest.raises(UpkeepFailed, match="not done for a"):
        compact.handler({"left": ["b"], "link": 3, "failed": ["a"]}, Context())
    monkeypatch.setattr(turns.Turns, "_goes_on", lambda *_: False)
    assert compact.handler({}, Context())["failed"] == ["a"]
    assert invoked == [{"left": ["b"], "link": 1, "failed": ["a"]}]


@pytest.mark.parametrize(
    "event", [[], "x", {"since": "all"}, {"left": "a"}, {"left": [5]}, {"link": -1}, {"link": "x"}]
)
def test_an_event_of_something_else(deployed: Store, event: Any) -> None:
    for function in (compact.handler, retain.handler):
        with pytest.raises(DataflowError, match="an event of this function"):
            function(event, Context())


def keeps(monkeypatch: pytest.MonkeyPatch, **keep: str) -> None:
    monkeypatch.setenv("ANTFOLD_KEEP", json.dumps(keep))


def floor(stream: str = "s") -> int | None:
    found = Store(STORE).catalogue.snapshot(stream).floor
    return None if found is None else found - FIRST_DAY


def test_retention(deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the deployment, of the stream's policy, of both, of none."""
    filled(deployed, "s", "own", "both", "none", days=6, files=2)
    set_policy(deployed.objects, "own", "3d")
    set_policy(deployed.objects, "both", "4d")
    keeps(monkeypatch, s="2d", both="2d", unborn="1d")
    since = (FIRST_DAY + 4) * DAY
    before = deployed.query(SUM, since, progress=False).proof.result
    assert retain.handler({}, Context()) == {"streams": 4, "left": [], "failed": []}
    assert (floor("s"), floor("own"), floor("both"), floor("none")) == (3, 2, 1, None)
    assert Store(STORE).query(SUM, since, progress=False).proof.result == before
    logged = lines()
    (line,) = logged.of("two retentions")
    assert (line["stream"], line["deployed"], line["own"], line["holds"]) == ("both", "2d", "4d", "4d")
    assert {line["stream"] for line in logged.of("retired")} == {"s", "own", "both"}
    assert logged.metric("RowsRetired") == 2 * (3 + 2 + 1)
    retain.handler({}, Context())
    assert lines().of("retired") == []


def test_retention_in_steps(deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a commit; what is done stays done when the time is up, and the floor is that of one step."""
    monkeypatch.setattr(retaining, "STEP", 3)
    filled(deployed, "s", "t", days=8, files=2)
    keeps(monkeypatch, s="1d", t="1d")
    monkeypatch.setattr(turns, "_now", lambda: 0)
    assert retain.handler({}, Context(100, 10))["left"] == ["t", "s"]
    assert floor("s") is not None
    assert (floor("s") or 0) < 6
    assert retain.handler({}, Context())["left"] == []
    assert (floor("s"), floor("t")) == (6, 6)
    assert len(lines().of("retired")) > 4
    one = Store(STORE)
    filled(one, "whole", days=8, files=2)
    one.retain("whole", keep=timedelta(days=1))
    assert floor("whole") == 6
    carried = [
        sum(f.rows for f in one.catalogue.snapshot(s).files if f.t_max < (FIRST_DAY + 6) * DAY) for s in ("s", "whole")
    ]
    assert carried[0] == carried[1]


def test_a_retention_that_is_none(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("[]", '{"s": "1h"}', '{"s": 5}', "x"):
        monkeypatch.setenv("ANTFOLD_KEEP", text)
        with pytest.raises(EnvironmentFault, match="ANTFOLD_KEEP must be an object"):
            retain.handler({}, Context())


def test_a_sweep(deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch) -> None:
    filled(deployed, "s")
    compact.handler({}, Context())
    orphans(deployed, 3)
    assert sweep.handler({}, Context()) == {"removed": 0, "bytes": 0, "left": 0}
    import time

    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 8 * 86_400 * 1_000_000_000)
    lines()
    reply = sweep.handler({}, Context())
    assert reply["removed"] == 12
    logged = lines()
    assert [line["event"] for line in logged.all if "event" in line] == ["sweeping", "swept", "done"]
    assert logged.of("swept")[0]["reasons"] == {"replaced": 9, "orphan": 3}
    assert (logged.metric("FilesRemoved"), logged.metric("BytesRemoved")) == (12, reply["bytes"])
    assert files("s") == 1


def test_a_sweep_of_too_many(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(deployed, "s")
    orphans(deployed, 17)
    import time

    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 8 * 86_400 * 1_000_000_000)
    with pytest.raises(TooManyOrphans, match="nothing was removed"):
        sweep.handler({}, Context())
    for event in ([], {"allow_many": False}, {"allow_many": None, "x": 1}):
        with pytest.raises(DataflowError, match="an event of this function"):
            sweep.handler(event, Context())
    assert sweep.handler({"allow_many": True}, Context())["removed"] == 17
