"""A process that ends while its threads work: run as ``python -m tests.runtime.ends_under_load FOLDER HOW DAEMON``.

``HOW`` is how the main thread ends: ``return``, ``exit``, ``interrupt``. ``DAEMON`` threads go on for ever and nobody
waits for them; other threads each do one piece of work, which Python waits for, and then print "done".
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from runtime import Store
from tests.runtime.forks_under_load import METRIC, OTHER, points


class Terminal:
    """Standard error, said to be a terminal, so that progress is drawn."""

    def __getattr__(self, name: str) -> object:
        return getattr(sys.__stderr__, name)

    def isatty(self) -> bool:
        return True


def main(folder: str, how: str, daemon: bool) -> None:
    """Start the threads, and end in their midst."""
    store = Store(Path(folder) / "store", create=True)
    store.ingest("s", points(0, 100_000), key="device", time="ts", unit="us", progress=False)
    store.ingest("live", points(0, 1_000), key="device", time="ts", unit="us", progress=False)
    store.publish(METRIC, "up")
    numbers = iter(range(1, 1_000_000))
    begun = threading.Semaphore(0)

    acts: list[Callable[[], object]] = [
        lambda: store.query(METRIC, workers=4),
        lambda: store.query("up", cache=False, progress=False),
        lambda: store.ingest("live", points(next(numbers) * 1_000, 1_000)),
        lambda: Store(store.url).query(OTHER, workers=2, progress=False),
        lambda: store.compact("live"),
    ]

    def work(act: Callable[[], object]) -> None:
        begun.release()
        for _ in range(10):
            act()
        while daemon:
            act()
        os.write(1, b"done\n")

    for act in acts:
        threading.Thread(target=work, args=(act,), daemon=daemon).start()
    for _ in acts:
        begun.acquire()
    if not daemon:
        os.write(1, b"started\n")
        return
    time.sleep(0.7)
    print("ends", time.time(), flush=True)
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)


if __name__ == "__main__":
    if sys.argv[3] == "terminal":
        sys.stderr = Terminal()  # type: ignore[assignment]
    try:
        main(sys.argv[1], sys.argv[2], sys.argv[3] != "waited")
    except KeyboardInterrupt:
        print("interrupted", flush=True)
