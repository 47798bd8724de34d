"""The catalogue's table in one SQLite file of this machine."""

from __future__ import annotations

import os
import sqlite3
import threading
import weakref
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from operators.files import check_regular
from runtime.catalogue.table import Check, ConditionFailed, Get, Put, Query, Row, Scan, Transact, holds
from runtime.errors import StoreError

_APPLICATION = 0x416E7446  # "AntF"
_VERSION = 1
_CREATE = """
create table if not exists items (
  partition text not null, sort text not null, number integer not null, body blob not null,
  primary key (partition, sort)
) without rowid
"""


class SqliteTable:
    """A ``Table`` in the SQLite file ``path``, created when it is not there.

    One connection per process, used under a lock: write-ahead log, ``synchronous=FULL`` (a commit is on the disk
    when it returns), ``BEGIN IMMEDIATE``. A process waits up to ``patience`` seconds for another one's write.

    SQLite writes beside a file with a write-ahead log even to read it. In a folder where that is not allowed (a
    read-only mount, another user's) the file is read as it lies there, if it has no log now: each request opens it
    anew, and is refused if somebody else wrote to it meanwhile.
    """

    most = 100  # as DynamoDB, so that both run the same batches

    def __init__(self, path: str | os.PathLike[str], patience: float = 60.0) -> None:
        self.path = Path(path).absolute()
        self.patience = patience
        self._lock = threading.Lock()
        self._owner = 0
        self._connection: sqlite3.Connection | None = None
        self._closing: weakref.finalize[[sqlite3.Connection, int], SqliteTable] | None = None
        self._inherited: list[sqlite3.Connection] = []  # across a fork: neither to be used nor to be closed
        self._as_it_lies = False
        try:
            with self._open():
                pass
        except StoreError:
            if not self.path.is_file() or os.access(self.path.parent, os.W_OK):
                raise
            self._as_it_lies = True
            with self._open():
                pass

    def get(self, request: Get) -> bytes | None:
        """Answer a ``Get``."""
        with self._open() as connection:
            row = connection.execute(
                "select body from items where partition = ? and sort = ?", (request.partition, request.sort)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def query(self, request: Query) -> list[Row]:
        """Answer a ``Query``."""
        order = "desc limit 1" if request.last else "asc"
        with self._open() as connection:
            found: list[Row] = connection.execute(
                "select sort, body from items where partition = ? and sort >= ? and sort < ? order by sort " + order,
                (request.partition, request.low, request.high),
            ).fetchall()
        return found

    def scan(self, request: Scan) -> tuple[bytes, bytes]:
        """Answer a ``Scan``: SQLite itself joins the bodies, one row of Python objects for all of them."""
        query = request.query
        with self._open() as connection:
            heads, tails = connection.execute(
                "select cast(group_concat(substr(body, 1, ?), '') as blob), "
                "cast(group_concat(substr(body, ?), '') as blob) from "
                "(select body from items where partition = ? and sort >= ? and sort < ? order by sort)",
                (request.head, request.head + 1, query.partition, query.low, query.high),
            ).fetchone()
        return heads or b"", tails or b""

    def transact(self, request: Transact) -> None:
        """Carry out a ``Transact``."""
        if len(request.items) > self.most:
            raise StoreError(f"a transaction of {len(request.items)} items is over the limit of {self.most}.")
        with self._open() as connection:
            connection.execute("begin immediate")
            try:
                failed = [i for i, item in enumerate(request.items) if not _fulfilled(connection, item)]
                if failed:
                    raise ConditionFailed(failed)
                connection.executemany(
                    "insert or replace into items values (?, ?, ?, ?)",
                    [(i.partition, i.sort, i.number, i.body) for i in request.items if isinstance(i, Put)],
                )
                connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise

    def close(self) -> None:
        """Close the file; a later request opens it again."""
        with self._lock:
            if self._closing is not None and self._owner == os.getpid():
                self._closing()
            self._connection = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, held alone, with SQLite's errors explained."""
        with self._lock:
            try:
                if self._as_it_lies:
                    with self._lying() as connection:
                        yield connection
                    return
                if self._connection is None or self._owner != os.getpid():  # a connection must not cross a fork
                    if self._connection is not None:
                        self._inherited.append(self._connection)
                        self._connection = None
                    self._connection = self._connect()
                    self._owner = os.getpid()
                    # A table that nobody closed is closed with its last reference, or at the process's end.
                    self._closing = weakref.finalize(self, _close, self._connection, self._owner)
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise explained(error, self.path) from error

    @contextmanager
    def _lying(self) -> Iterator[sqlite3.Connection]:
        """A connection to a file that nobody is to write to meanwhile."""
        self._check_files()
        before = self._seen()
        uri = f"{self.path.as_uri()}?immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            self._check(connection)
            yield connection
        if self._seen() != before:
            raise StoreError(f"the catalogue {self.path} was written to while it was read: repeat.")

    def _seen(self) -> tuple[int, ...]:
        """What differs after a write."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise StoreError(
                f"the catalogue {self.path} has a log beside it, for some process has it open or was killed. To read "
                "that takes the permission to write to the folder: give this user that, or close the store there."
            )
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_files()
        connection = sqlite3.connect(self.path, timeout=self.patience, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("begin")  # all as of one moment: another process may be creating the table
            empty = self._check(connection)
            connection.execute("commit")
            connection.execute("pragma synchronous = full")
            if empty:
                connection.execute("pragma journal_mode = wal")
                connection.execute("begin immediate")
                connection.execute(_CREATE)
                connection.execute(f"pragma application_id = {_APPLICATION}")
                connection.execute(f"pragma user_version = {_VERSION}")
                connection.execute("commit")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_files(self) -> None:
        """StoreError if something other than a file, which SQLite could wait for, stands where it opens files."""
        for ending in ("", "-wal", "-shm", "-journal"):
            path = self.path.with_name(self.path.name + ending)
            try:
                check_regular(path)
            except OSError as error:
                raise StoreError(
                    f"the catalogue {self.path} cannot be opened, for {path.name} is not what SQLite wrote "
                    f"({error.strerror}): move it away, and restore the catalogue from a backup."
                ) from None

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether there is no table yet; StoreError for what is no catalogue, or none of this version."""
        application = connection.execute("pragma application_id").fetchone()[0]
        version = connection.execute("pragma user_version").fetchone()[0]
        empty = connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0
        if not empty and application != _APPLICATION:
            raise StoreError(f"{self.path} is a database of another program: choose another folder for the store.")
        if version > _VERSION:
            raise StoreError(
                f"{self.path} was written by a newer version (catalogue format {version}, this program reads "
                f"{_VERSION}): update this program."
            )
        return bool(empty)


def _close(connection: sqlite3.Connection, owner: int) -> None:
    if owner == os.getpid():
        connection.close()


def _fulfilled(connection: sqlite3.Connection, item: Put | Check) -> bool:
    row = connection.execute(
        "select number from items where partition = ? and sort = ?", (item.partition, item.sort)
    ).fetchone()
    return holds(item.when, item.bound, None if row is None else int(row[0]))


def explained(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The error as one sentence for a person: what failed, where, and what to do."""
    if isinstance(error, OSError):
        return StoreError(f"the catalogue {path} cannot be opened or written: {error.strerror or error}.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"the catalogue {path} is in use by another process that does not let go: repeat later.")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"the catalogue {path} cannot grow, the disk is full: free space and repeat.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return StoreError(
                f"the catalogue {path} cannot be opened for writing (SQLite needs its folder to be writable, too): "
                "give this user the permission, or copy the store."
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreError(f"the catalogue {path} is damaged or not a catalogue: restore it from a backup.")
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"the catalogue {path} cannot be read or written, the disk reports an error: check it.")
        case _:
            return StoreError(f"the catalogue {path} failed: {error}.")
