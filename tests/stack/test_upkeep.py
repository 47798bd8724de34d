"""Upkeep as ``dataflow deploy`` creates it, on ministack: objects one a minute, compaction, retention, the sweep.

The functions are the real bundle and can import nothing else but what Lambda has; their schedules are started by hand.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

import dataflow as df
from operators.compiler.targets import worker as workers_target
from runtime import Store
from runtime.fleet import Fleet
from runtime.fleet.aws_lambda import invoker
from tests.stack import servers
from tests.stack.test_end_to_end import Deployed, beside, dataflow, use

pytestmark = pytest.mark.stack

CONFIG = f"""
[deployment]
name = "kept"
architecture = "{workers_target().name}"

[streams.s]
key = "k"
time = "t"
unit = "ms"
keep = "2d"
"""
T, MINUTE, DAY = 1_699_920_000_000, 60_000, 86_400_000
DEVICES, EVERY = 20, 15
SUM = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("n"))
UP = df.stream("s").state_duration("state").group_by("state").agg(t=df.known_time())
LATER = """
import time

real = time.time_ns
time.time_ns = lambda: real() + 8 * 86_400 * 1_000_000_000  # what waits for its grace need not
from deploy.handlers import sweep
handler = sweep.handler
"""


@pytest.fixture
def kept(tmp_path: Path, bundle: Path) -> Iterator[Deployed]:
    """The deployment ``kept``, and its stand-in for AWS."""
    folder = tmp_path / "kept"
    folder.mkdir()
    (folder / "antfold.toml").write_text(CONFIG)
    with (
        servers.ministack(folder, **servers.bare_functions(folder)) as endpoint,
        pytest.MonkeyPatch.context() as patch,
    ):
        use(endpoint, patch)
        done = dataflow("deploy", "--bundle", str(bundle), "--yes", folder=folder)
        outputs = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line and line[0] != " ")
        yield Deployed(endpoint, outputs, folder, 0, bundle)


def minute(number: int) -> bytes:
    """What the devices report in a minute."""
    state = "up" if number % 7 else "down"
    rows = [{"k": f"d{d}", "t": T + number * MINUTE + d, "n": number, "state": state} for d in range(DEVICES)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def files(deployed: Deployed) -> int:
    with Store(deployed.url) as store:
        return len(store.files("s"))


def on_fleet(deployed: Deployed, metric: Any, since: int | None = None) -> Any:
    """The answer of the deployed workers."""
    fleet = Fleet(invoker(deployed.outputs["Worker"]), target=workers_target())
    with pytest.MonkeyPatch.context() as patch, Store(deployed.url) as store:
        patch.setenv("ANTFOLD_MAC_KEY", deployed.outputs["SigningKey"])
        return store.query(metric, since, executor=fleet, workers=3, progress=False).proof.result


def a_day(deployed: Deployed, minutes: int, folder: Path) -> None:
    """Objects one a minute, compaction every quarter of an hour; then all upkeep, and queries by fleet.

    As with the real clock, each quarter's objects are in before its compaction, or one would do the work of many.
    """
    begun, firehose = time.monotonic(), boto3.client("firehose")
    old = b"".join(minute(number - 4 * 1_440) for number in range(3))  # four days before, beyond what is kept
    pieces = [old, *map(minute, range(minutes))]
    before, after = [], []
    for number, data in enumerate(pieces, 1):
        firehose.put_record(DeliveryStreamName=deployed.outputs["DeliveryS"], Record={"Data": data})
        if number % EVERY == 0 or number == len(pieces):
            deployed.wait_for(number, seconds=600)
            before.append(files(deployed))
            assert deployed.ask({}, "kept-compact") == {"streams": 1, "left": [], "failed": []}
            after.append(files(deployed))
    most = 7 * len(f"{minutes * DEVICES:o}")
    print(
        f"{len(pieces):,} objects, {len(after)} compactions: at most {max(before)} files before one, {max(after)} after"
        f", {after[-1]} at the end; {time.monotonic() - begun:.0f} s"
    )
    assert max(after) <= most
    assert max(before) <= most + EVERY  # what came since the last one is the only rest
    with Store(folder / "store", create=True) as right:
        path = folder / "all.ndjson"
        path.write_bytes(b"".join(pieces))
        right.ingest("s", str(path), key="k", time="t", unit="ms", progress=False)
        for metric in (SUM, UP):
            assert on_fleet(deployed, metric) == right.query(metric, progress=False).proof.result
        assert deployed.ask({}, "kept-retain") == {"streams": 1, "left": [], "failed": []}
        since = T * 1_000
        for metric in (SUM, UP):
            assert on_fleet(deployed, metric, since) == right.query(metric, since, progress=False).proof.result
        assert deployed.ask({}, "kept-sweep")["removed"] == 0  # all is younger than its grace
        with beside(deployed, "kept-sweep", LATER) as later:
            assert deployed.ask({}, later)["removed"] > 0
        with Store(deployed.url) as store:
            live = {file.path for file in store.catalogue.snapshot("s").files}
            assert {info.path for info in store.objects.list("data/")} == live
        for metric in (SUM, UP):
            assert on_fleet(deployed, metric, since) == right.query(metric, since, progress=False).proof.result
    assert dataflow("verify", deployed.url, folder=deployed.folder)


def test_half_an_hour(kept: Deployed, tmp_path: Path) -> None:
    schedules = {name: boto3.client("scheduler").get_schedule(Name=f"kept-{name}") for name in ("compact", "sweep")}
    assert schedules["compact"]["ScheduleExpression"] == "rate(15 minutes)"
    assert json.loads(schedules["sweep"]["Target"]["Input"]) == {}
    a_day(kept, 30, tmp_path)


@pytest.mark.nightly
def test_a_day(kept: Deployed, tmp_path: Path) -> None:
    a_day(kept, 1_440, tmp_path)
