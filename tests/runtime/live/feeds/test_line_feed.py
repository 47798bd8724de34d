"""Lines of a pipe: whole lines only, counted; a producer that begins anew; other processes under the same name."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.errors import IngestError
from runtime.live.chains import SourceChain
from runtime.live.feeds.line_feed import LineFeed
from tests.runtime.live.feeds.watched import STREAM, Watch, lines, numbers_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "empty"
    folder.mkdir()
    return folder


class Piped:
    """A watch of a pipe, and the end that is written to."""

    def __init__(self, store: Store, folder: Path, **options: Any) -> None:
        self._read, self.write = os.pipe()
        self.watch = Watch(store, folder)  # for what becomes of its pieces
        chain = SourceChain(store.catalogue, STREAM, "pipe")
        self.feed = LineFeed(self._read, "pipe", chain, self.watch.stream.settings(), **options)
        self.watch.watcher.feed = self.feed

    def send(self, text: str) -> None:
        os.write(self.write, text.encode())

    def look(self) -> list[tuple[str, int]]:
        self.watch.watcher.every = 0.02
        return self.watch.look()

    def end(self) -> None:
        if self.write >= 0:
            os.close(self.write)
            self.write = -1


@pytest.fixture
def piped(store: Store, folder: Path) -> Iterator[Any]:
    made: list[Piped] = []

    def make(**options: Any) -> Piped:
        made.append(Piped(store, folder, **options))
        return made[-1]

    yield make
    for one in made:
        one.end()
        os.close(one._read)


def test_whole_lines(store: Store, piped: Any) -> None:
    one = piped()
    one.send(lines(1, 2) + lines(3)[:7])
    assert one.look() == [("ingested", 2)]
    assert one.look() == []
    one.send(lines(3)[7:] + lines(4).rstrip("\n"))
    assert one.look() == [("ingested", 1)]
    assert not one.feed.ended
    one.end()
    assert one.look() == [("ingested", 1)]
    assert (one.feed.ended, one.feed.lines) == (True, 4)
    assert numbers_in(store) == [1, 2, 3, 4]


def test_a_header_belongs_to_every_piece(store: Store, piped: Any) -> None:
    one = piped()
    one.send("k,t,n\na,1,1\n")
    assert one.look() == [("ingested", 1)]
    one.send("a,2,2\na,3,3\n")
    assert one.look() == [("ingested", 2)]
    again = piped(skips=True)
    again.send("k,t,n\na,1,1\na,2,2\na,3,3\na,4,4\n")
    assert again.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4]


def test_a_producer_that_goes_on_or_begins_anew(store: Store, piped: Any) -> None:
    first = piped()
    first.send(lines(1, 2))
    first.look()
    on = piped()
    on.send(lines(3))
    assert on.look() == [("ingested", 1)]
    anew = piped(skips=True)
    for text in (lines(1), lines(2, 3)[:20], lines(2, 3)[20:], lines(4)):
        anew.send(text)
        anew.look()
    assert numbers_in(store) == [1, 2, 3, 4]


@pytest.mark.parametrize("half", ['{"k": "a", "t": 3', "{"])
def test_a_producer_that_is_ended_within_a_line(store: Store, piped: Any, half: str) -> None:
    one = piped(skips=True)
    one.send(lines(1, 2) + half)
    one.end()
    assert one.look() == [("ingested", 2)]
    with pytest.raises(IngestError, match="it ended within a line, after 2 lines were committed"):
        one.look()
    anew = piped(skips=True)
    anew.send(lines(1, 2, 3))
    assert anew.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3]


def test_rows_of_a_producer_that_is_ended_within_one(store: Store, piped: Any) -> None:
    one = piped(skips=True)
    one.send("k,t,n\na,1,1\na,23,2")  # of a,23,23: nothing says that there should be more
    one.end()
    assert one.look() == [("ingested", 1)]
    with pytest.raises(IngestError, match="it ended within a line, after 1 lines were committed"):
        one.look()
    anew = piped(skips=True)
    anew.send("k,t,n\na,1,1\na,23,23\n")
    assert anew.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 23]


@pytest.mark.parametrize("text", [lines(1, 2).rstrip("\n"), "k,t,n\na,1,1\na,2,2"])
def test_a_last_line_without_an_end_counts_once(store: Store, piped: Any, text: str) -> None:
    one = piped()
    one.send(text)
    one.end()
    assert one.look() == [("ingested", 2)]
    anew = piped(skips=True)
    anew.send(text)
    anew.end()
    assert (anew.look(), anew.feed.ended) == ([], True)
    assert numbers_in(store) == [1, 2]


def test_many_lines_are_left_out_at_once(store: Store, piped: Any) -> None:
    first = piped()
    numbers = range(500)  # as many as a pipe holds
    first.send(lines(*numbers))
    first.look()
    anew = piped(skips=True)
    anew.send(lines(*numbers))
    assert anew.look() == []
    anew.send(lines(500))
    assert anew.look() == [("ingested", 1)]
    assert numbers_in(store) == [*numbers, 500]


def test_two_pipes_of_one_name(store: Store, piped: Any) -> None:
    one, two = piped(), piped()
    one.send(lines(1))
    two.send(lines(2))
    one.look()
    assert two.look() == []  # the other was faster
    assert two.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2]


def test_the_position_is_lost(store: Store, piped: Any) -> None:
    one = piped()
    identity = SourceChain(store.catalogue, STREAM, "other").identity(1)
    one.send(lines(1))
    one.look()
    store.ingest(STREAM, {"k": ["a"], "t": [5], "n": [5]}, source="x", key="k", time="t", unit="s", progress=False)
    from runtime.catalogue import SourceEntry, new_attempt

    schema = store.catalogue.schema(STREAM)
    assert schema is not None
    store.catalogue.commit(STREAM, schema, SourceEntry(identity, "other", 0), (), new_attempt())
    with pytest.raises(IngestError, match=r"where other goes on is not known any more .*--watch-name"):
        SourceChain(store.catalogue, STREAM, "other").reached()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 8, 9, 33])
def test_the_last_of_a_chain_is_found(store: Store, count: int) -> None:
    from operators.types import Type
    from runtime.catalogue import SourceEntry, StreamSchema, new_attempt

    chain = SourceChain(store.catalogue, STREAM, "c")
    schema = StreamSchema("k", Type.STRING, "t", {})
    for number in range(1, count + 1):
        entry = SourceEntry(chain.identity(number), "c", 0, position={"lines": number})
        store.catalogue.commit(STREAM, schema, entry, (), new_attempt())
    reached = chain.reached()
    assert (reached.number, reached.position) == (count, {"lines": count} if count else None)


# ---- sockets


def serving(listening: socket.socket, *sent: bytes, resets: bool = False) -> threading.Thread:
    """Sends this to the first caller, then closes the connection."""

    def serve() -> None:
        one, _ = listening.accept()
        with one:
            for data in sent:
                one.sendall(data)
            if resets:
                time.sleep(0.3)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def watched(store: Store, source: str, **options: Any) -> Any:
    return store.watch(STREAM, source, key="k", time="t", unit="s", every="20ms", compact=False, **options)


@pytest.mark.parametrize("kind", ["tcp", "unix", "path"])
def test_lines_of_a_socket(store: Store, tmp_path: Path, kind: str) -> None:
    with socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as listening:
        listening.bind(("127.0.0.1", 0) if kind == "tcp" else str(tmp_path / "s"))
        listening.listen()
        path, port = str(tmp_path / "s"), listening.getsockname()[1] if kind == "tcp" else 0
        source = {"tcp": f"tcp://127.0.0.1:{port}", "unix": f"unix://{path}", "path": path}[kind]
        text = lines(1, 2, 3).encode()
        thread = serving(listening, text[:30], text[30:-1])  # the last line without its end
        assert watched(store, source).rows == 3
        thread.join()
        thread = serving(listening, lines(1, 2, 3, 4).encode())
        assert watched(store, source, start="committed").rows == 1
        thread.join()
    assert numbers_in(store) == [1, 2, 3, 4]


def test_a_connection_that_is_reset(store: Store) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        source = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        thread = serving(listening, lines(1, 2).encode(), b'{"k": "a"', resets=True)
        with pytest.raises(IngestError, match="Connection reset by peer, after 2 lines were committed"):
            watched(store, source)
        thread.join()
    assert numbers_in(store) == [1, 2]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("tcp://127.0.0.1:9", "tcp://127.0.0.1:9 cannot be read: Connection refused"),
        ("tcp://127.0.0.1", "tcp://HOST:PORT is a socket that sends lines"),
        ("tcp://127.0.0.1:x", "tcp://HOST:PORT is a socket that sends lines"),
        ("tcp://127.0.0.1:9/path", "tcp://HOST:PORT is a socket that sends lines"),
        ("unix:///nothing/here", "cannot be read: No such file"),
    ],
)
def test_sockets_that_are_none(store: Store, source: str, said: str) -> None:
    with pytest.raises(IngestError, match=said):
        watched(store, source)
