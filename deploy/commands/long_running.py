"""What commands share that run until they are stopped: the signals, and the settings of a connection."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from operators.errors import DataflowError


@contextmanager
def stopped_by_signal() -> Iterator[threading.Event]:
    """Set by SIGTERM or Ctrl-C: what is under way is done first. A second one interrupts it."""
    stop = threading.Event()

    def handle(number: int, frame: object) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def connection_settings(path: str) -> dict[str, str]:
    """The settings in a file of lines ``NAME=VALUE``, as Kafka's own tools read them; DataflowError for another line,
    without what it holds, which may be a password."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DataflowError(f"--connection {path} cannot be read: {said}") from None
    found = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise DataflowError(f"{path}:{number}: a line is NAME=VALUE, such as security.protocol=SASL_SSL")
        found[name.strip()] = value.strip()
    return found
