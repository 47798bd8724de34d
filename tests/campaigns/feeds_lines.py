"""Feeds of the campaign ``feeds`` that need no broker: a folder of logs, a pipe, a socket, posts over HTTP."""

from __future__ import annotations

import http.client
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.stack import servers
from tests.stack.watching_process import watching
from tests.waiting import until

KEYS = 7
_BLOCK = 1_000


def record(n: int) -> bytes:
    """The numbered record ``n``, whose number is its time in seconds, on a line."""
    return b"%s\n" % json.dumps({"k": f"k{n % KEYS}", "t": n, "n": n}).encode()


def records(begin: int, end: int) -> bytes:
    """The lines of these numbers."""
    return b"".join(map(record, range(begin, end)))


class Feed(ABC):
    """Where numbered records come from, and who watches it; ``count`` of them were sent. ``failures``: what is wrong
    that the store does not show."""

    ends_by_itself = False
    """Whether its end, or a cut connection, ends who watches it."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        self.folder, self.rng, self.count = folder, rng, 0
        self.failures: list[str] = []

    def __enter__(self) -> Feed:
        return self

    def __exit__(self, *_: object) -> None:  # noqa: B027, most hold nothing
        """Let go of all that it holds."""

    @abstractmethod
    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        """A process that watches it."""

    def is_watched(self) -> bool:
        """Whether the process has begun."""
        return b"watching " in (self.folder / "log").read_bytes()[self._logged :]

    def progress(self) -> int:
        """A number that rises with each commit."""
        log = self.folder / "log"
        return log.read_bytes().count(b" points") if log.exists() else 0

    def begun(self) -> None:
        """What was logged until now is of earlier processes."""
        log = self.folder / "log"
        self._logged = log.stat().st_size if log.exists() else 0

    @abstractmethod
    def send(self, count: int) -> None:
        """Send so many more records, while it is watched."""

    def disturb(self) -> str:
        """Disturb it; what that was, empty if there is nothing to disturb."""
        return ""

    def left(self, process: subprocess.Popen[bytes]) -> None:  # noqa: B027, most need nothing
        """The process has ended."""

    def finish(self) -> None:
        """Have all that was sent read to the end."""
        process = self.watch("--until-idle", "3s")
        code = process.wait(600)
        if code:
            self.failures.append(f"the last watcher ended with {code}: {self.log()}")

    def log(self) -> str:
        """The end of what watchers said."""
        return (self.folder / "log").read_text(errors="replace")[-1_500:]


class Folder(Feed):
    """Logs that grow, also within a line, and are renamed."""

    LOGS = 3
    LARGEST = 400_000
    """Bytes at which a log is renamed."""

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        (self.folder / "landing").mkdir(exist_ok=True)
        return watching(self.folder, str(self.folder / "landing"), *more)

    def send(self, count: int) -> None:
        end = self.count + count
        while self.count < end:
            upto = min(end, self.count + self.rng.randrange(1, 500))
            log = self.folder / "landing" / f"{self.rng.randrange(self.LOGS)}.log"
            data = records(self.count, upto)
            cut = self.rng.randrange(len(data))
            for part in (data[:cut], data[cut:]):
                with log.open("ab") as file:
                    file.write(part)
            self.count = upto
            if log.stat().st_size > self.LARGEST:
                log.rename(log.with_name(f"{upto}.old"))


class Lines(Feed):
    """Lines that are sent from the first on, whenever they are watched anew."""

    ends_by_itself = True

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self._is_last = False

    def send(self, count: int) -> None:
        self.count += count

    def pour(self, write: Callable[[bytes], object], goes_on: Callable[[], bool]) -> None:
        """Write all lines, and those that come; up to the end in the last watch."""
        self._poured = 0
        while goes_on():
            if self._poured < self.count:
                upto = min(self.count, self._poured + _BLOCK)
                try:
                    write(records(self._poured, upto))
                except OSError:
                    return
                self._poured = upto
            elif self._is_last:
                return
            else:
                threading.Event().wait(0.01)

    def finish(self) -> None:
        self._is_last = True
        process = self.watch()
        code = process.wait(600)
        self.left(process)
        if code:
            self.failures.append(f"the last watcher ended with {code}: {self.log()}")


class Pipe(Lines):
    """Standard input, whose lines are acknowledged once they are committed."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self._acknowledged = 0

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "-m", "dataflow", "watch", str(self.folder / "store"), "s", "-", "--from", "committed",
            "--acknowledge", "--key", "k", "--time", "t", "--unit", "s", "--every", "200ms", *more,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)
        self._threads = [
            threading.Thread(target=work, args=(process,), daemon=True)
            for work in (self._pour_into, self._acknowledgements)
        ]
        for thread in self._threads:
            thread.start()
        return process

    def _pour_into(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        with suppress(OSError), process.stdin:
            self.pour(process.stdin.write, lambda: process.poll() is None)

    def _acknowledgements(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                lines = int(line)
                if not self._acknowledged < lines <= self.count:
                    self.failures.append(f"{lines:,} lines are acknowledged after {self._acknowledged:,}")
                self._acknowledged = lines

    def left(self, process: subprocess.Popen[bytes]) -> None:
        for thread in self._threads:
            thread.join(60)

    def finish(self) -> None:
        super().finish()
        if self._acknowledged != self.count:
            self.failures.append(f"{self._acknowledged:,} of {self.count:,} lines are acknowledged")


class Socket(Lines):
    """A socket that sends lines, whose connections end within a line, by an end or a reset."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self._cut = threading.Event()
        self._stopped = threading.Event()

    def __enter__(self) -> Feed:
        self._server = socket.create_server(("127.0.0.1", 0))
        self._port = self._server.getsockname()[1]
        self._serving = threading.Thread(target=self._serve, daemon=True)
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self._port)):
            pass
        self._serving.join(60)
        self._server.close()

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        self._cut.clear()
        return watching(self.folder, f"tcp://127.0.0.1:{self._port}", "--from", "committed", *more)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            one, _ = self._server.accept()
            with one, suppress(OSError):
                self._pour_into(one)

    def _pour_into(self, one: socket.socket) -> None:
        self.pour(one.sendall, lambda: not self._cut.is_set() and _is_there(one))
        if self._cut.is_set():  # it ends within a line, in half of all cases by a reset
            line = record(self._poured)
            one.sendall(line[: self.rng.randrange(len(line))])
            if self.rng.random() < 0.5:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def disturb(self) -> str:
        self._cut.set()
        return "connections cut"


def _is_there(one: socket.socket) -> bool:
    """Whether the other end has not closed it: it never says anything."""
    one.setblocking(False)
    try:
        return bool(one.recv(1))
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        one.setblocking(True)


class Posts(Feed):
    """Posts to ``dataflow serve``, each repeated under its ``Idempotency-Key`` until there is an answer."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        (self._port,), self._posted, self._block = servers.free_ports(1), 0, _BLOCK
        self._cut = threading.Event()

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dataflow", "serve", str(self.folder / "store"), "--port", str(self._port)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log)

    def is_watched(self) -> bool:
        return b"listening at " in (self.folder / "log").read_bytes()[self._logged :]

    def progress(self) -> int:
        return self._posted

    def send(self, count: int) -> None:
        self.count += count
        self._post()

    def _post(self) -> None:
        """Post what is not answered yet, until the server is gone."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        path = "/api/v1/streams/s?key=k&time=t&unit=s"
        while self._posted < self.count:
            upto = min(self.count, self._posted - self._posted % _BLOCK + _BLOCK)
            key = f"from {self._posted} to {upto}"
            try:
                if self._cut.is_set():  # the request arrives, and nobody waits for its answer
                    self._cut.clear()
                    connection.request("POST", path, records(self._posted, upto), {"Idempotency-Key": key})
                    assert connection.sock is not None
                    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()
                connection.request("POST", path, records(self._posted, upto), {"Idempotency-Key": key})
                answer = connection.getresponse()
                said = answer.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                return
            if answer.status not in (200, 201) or json.loads(said).get("rejected"):
                self.failures.append(f"{key}: {answer.status} {said[:200]!r}")
                return
            self._posted = upto
        connection.close()

    def disturb(self) -> str:
        self._cut.set()
        return "connections cut"

    def finish(self) -> None:
        self.begun()
        process = self.watch()
        try:
            until(self.is_watched)
            self._post()
        finally:
            process.kill()
            process.wait()
        if self._posted < self.count:
            self.failures.append(f"{self._posted:,} of {self.count:,} were answered: {self.log()}")


def stopped(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, at once."""
    with suppress(ProcessLookupError):
        os.kill(process.pid, 9)
    process.wait()
