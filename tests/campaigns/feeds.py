"""Feeds whose watchers are killed, and whose brokers and connections fail: each numbered record exactly once.

``--messages`` records come from each feed, while its watcher is killed ``--kills`` times at drawn moments; in every
third life something fails beside it: a broker that is started again, a connection that is cut.
"""

from __future__ import annotations

import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from importlib.util import find_spec
from pathlib import Path

from runtime import Store
from tests.campaigns import Report
from tests.campaigns.feeds_brokers import Kafka, Kinesis, Mqtt
from tests.campaigns.feeds_lines import Feed, Folder, Pipe, Posts, Socket, stopped
from tests.stack.watching_process import numbers_in
from tests.waiting import until

FEEDS: dict[str, Callable[[Path, random.Random], Feed]] = {
    "folder": Folder, "pipe": Pipe, "socket": Socket, "posts": Posts, "mqtt": Mqtt, "kinesis": Kinesis, "kafka": Kafka,
}  # fmt: skip
"""By name; the last three need the extra ``stack``, and mosquitto of the system."""

_LONGEST = 1.5
"""Seconds that a watcher lives at most behind its start, or its first commit."""

_BUSY, _PATIENCE = 0.7, 10.0
"""The share of watchers that are killed behind a commit, and for how many seconds that is waited for."""

_SHOWN = 5


def run(budget: int, seed: int, kills: int = 1, only: str | None = None) -> Report:
    """``budget`` records from each feed, or from that of the name ``only``."""
    report = Report()
    for name in FEEDS if only is None else [only]:
        if name in ("kinesis", "kafka") and find_spec("ministack") is None:
            continue
        attack(report, name, budget, kills, seed)
    return report


def attack(report: Report, name: str, messages: int, kills: int, seed: int) -> None:
    """One feed, from an empty store to all of its records."""
    rng, begun = random.Random(f"{name} {seed}"), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="feeds-") as made, FEEDS[name](Path(made), rng) as feed:
        for life in range(kills):
            _lived(feed, messages // kills + (messages % kills if life == 0 else 0), life, rng, report, name)
        sent = time.monotonic() - begun
        feed.finish()
        seconds = time.monotonic() - begun
        report.failures += [f"{name}: {failure}" for failure in [*feed.failures, *_wrong(feed, messages)]]
    report.count(f"{name}: records", messages)
    report.seen[f"{name}: seconds until all were sent"] = round(sent)
    report.seen[f"{name}: seconds until all were in"] = round(seconds)


def _lived(feed: Feed, count: int, life: int, rng: random.Random, report: Report, name: str) -> None:
    """One watcher, from its start until it is killed, while ``count`` records are sent."""
    feed.begun()
    process = feed.watch()
    before = feed.progress()
    sending = threading.Thread(target=feed.send, args=(count,))
    try:
        until(lambda: feed.is_watched() or process.poll() is not None)
        sending.start()
        if rng.random() < _BUSY:
            _await_commit(feed, process, before)
        time.sleep(rng.uniform(0, _LONGEST))
        disturbed = feed.disturb() if life % 3 == 1 else ""
        if disturbed:
            _see(report, f"{name}: {disturbed}")
            time.sleep(rng.uniform(0, _LONGEST))
        code = process.poll()
        if code is None:
            _see(report, f"{name}: kills")
        elif disturbed and ((code == 0 and feed.ends_by_itself) or (code == 1 and _says_why(feed))):
            _see(report, f"{name}: watchers ended by that")
        else:
            feed.failures.append(f"a watcher ended by itself with {code}: {feed.log()}")
        _see(report, f"{name}: watchers that had committed", feed.progress() > before)
    finally:
        stopped(process)
        sending.join()
        feed.left(process)


def _await_commit(feed: Feed, process: subprocess.Popen[bytes], before: int) -> None:
    """Return once the watcher has committed something, or will not."""
    end = time.monotonic() + _PATIENCE
    while feed.progress() == before and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)


def _says_why(feed: Feed) -> bool:
    """Whether the last thing that was said is an error of the command."""
    return feed.log().splitlines()[-1].startswith("dataflow: ")


def _see(report: Report, what: str, times: int = 1) -> None:
    report.seen[what] = report.seen.get(what, 0) + times


def _wrong(feed: Feed, messages: int) -> Collection[str]:
    """What is wrong with the store."""
    found, wrong = Counter(numbers_in(feed.folder)), []
    if missing := [n for n in range(messages) if n not in found]:
        wrong.append(f"{len(missing):,} are missing: {missing[:_SHOWN]}")
    if twice := [n for n, times in found.items() if times > 1]:
        wrong.append(f"{len(twice):,} are there more than once: {twice[:_SHOWN]}")
    if strange := set(found) - set(range(messages)):
        wrong.append(f"{len(strange):,} were never sent: {sorted(strange)[:_SHOWN]}")
    log = (feed.folder / "log").read_text(errors="replace")
    if (at := log.find("Traceback")) >= 0:
        wrong.append(log[at : at + 3_000])
    with Store(feed.folder / "store") as store:
        if not (checked := store.verify()).ok:
            wrong.append(f"the store: {checked}")
    return wrong
