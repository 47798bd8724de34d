"""A service under load that forks: run as ``python -m tests.runtime.forks_under_load FOLDER FORKS``.

Threads query, ingest and publish on one open store. Each child asks the same open store for an answer that is known,
ingests a source of its own, and ends. A child that is not done in time hangs.
"""

from __future__ import annotations

import faulthandler
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import dataflow as df
from runtime import Store

START = 19_800 * 86_400_000_000
SECONDS = float(os.environ.get("FORK_SECONDS", "60"))
"""After which a child that is not done hangs: hundreds of times as long as it takes."""

METRIC = df.stream("s").state_duration("status", hold="5m").group_by("status").agg(n=df.count(), t=df.known_time())
OTHER = df.stream("live").group_by("device").agg(n=df.count())


def points(first: int, n: int) -> dict[str, Any]:
    """``n`` points in order of time."""
    i = np.arange(first, first + n)
    return {"device": i % 30, "ts": START + i * 1_000_000, "status": np.array(["up", "down"])[i // 7 % 2]}


def forked(child: Callable[[], None]) -> str:
    """What a forked child says: nothing if it ends well; its traceback, or that it hangs."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(read)
            faulthandler.dump_traceback_later(0.8 * SECONDS, file=write)
            child()
            status = 0
        except BaseException:
            os.write(write, traceback.format_exc()[-700:].encode())
        finally:
            os._exit(status)
    os.close(write)
    until = time.monotonic() + SECONDS
    try:
        while time.monotonic() < until:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                said = os.read(read, 4096).decode()
                return said or ("" if status == 0 else f"status {status}")
            time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return f"hangs: {os.read(read, 65_536).decode()}"
    finally:
        os.close(read)


def asked(url: str) -> list[tuple[Any, ...]]:
    """The known answer, in a worker of a pool."""
    return list(Store(url).query(METRIC, progress=False))


def main(folder: str, forks: int) -> int:
    """Print what went wrong, and how many forks there were."""
    store = Store(Path(folder) / "store", create=True)
    store.ingest("s", points(0, 5_000), key="device", time="ts", unit="us", progress=False)
    store.ingest("live", points(0, 100), key="device", time="ts", unit="us", progress=False)
    right = list(store.query(METRIC, progress=False))
    store.publish(METRIC, "up")
    stop, numbers, counts, problems = threading.Event(), itertools.count(1), dict[str, int](), list[str]()

    def again(name: str, act: Callable[[], object]) -> None:
        while not stop.is_set():
            try:
                act()
            except Exception:
                problems.append(f"{name}: {traceback.format_exc()[-700:]}")
                return
            counts[name] = counts.get(name, 0) + 1

    def query() -> None:
        assert list(store.query(METRIC, workers=2)) == right  # with progress, as on a terminal

    def ingest() -> None:
        n = next(numbers)
        store.ingest("live", points(n * 100, 100), progress=False)

    acts = {
        "query": query,
        "query again": query,
        "published": lambda: store.query("up", progress=False),
        "live": lambda: store.query(OTHER, progress=False),
        "ingest": ingest,
        "publish": lambda: store.publish(METRIC, f"q{next(numbers)}"),
        # A new store each time: connections are made, kernels are looked up.
        "open": lambda: list(Store(store.url).query(METRIC, progress=False)),
    }
    threads = [threading.Thread(target=again, args=item, daemon=True) for item in acts.items()]
    for thread in threads:
        thread.start()

    def child(n: int) -> None:
        assert list(store.query(METRIC, progress=False, workers=2)) == right
        assert list(store.query("up", progress=False)) == right
        store.ingest("live", points(1_000_000 + n * 1_000, 10), progress=False)
        assert len(store.query(OTHER, progress=False)) == 30
        store.close()
        assert list(store.query(METRIC, progress=False)) == right

    for n in range(1, forks + 1):
        time.sleep(0.003 * (n % 13))
        if said := forked(lambda n=n: child(n)):  # type: ignore[misc]
            problems.append(f"fork {n}: {said}")
            if said.startswith("hangs"):
                break
    if not problems:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
            done = [pool.submit(asked, store.url) for _ in range(4)]
            if any(future.result(timeout=SECONDS) != right for future in done):
                problems.append("a pool of forked processes gives a wrong answer")
            if list(store.query(METRIC, executor=pool, workers=2, progress=False)) != right:
                problems.append("a query on forked processes gives a wrong answer")
    stop.set()
    for thread in threads:
        thread.join(SECONDS)
        if thread.is_alive():
            problems.append(f"{thread.name} hangs in the parent")
    with suppress(ValueError):
        problems += [f"{name} never ran" for name in acts if not counts.get(name)]
    if not store.verify().ok:
        problems.append("the store is damaged")
    print(f"{n} forks, {len(problems)} problems", counts, *problems, sep="\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
