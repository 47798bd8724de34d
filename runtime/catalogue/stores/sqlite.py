"""The catalogue's table in a local SQLite file."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from operators import forking
from operators.files import check_regular, sync_folder
from runtime.catalogue.items.head_file import HeadFile
from runtime.catalogue.key_value import (
    Check,
    ConditionFailed,
    Get,
    Heads,
    Item,
    KeyScan,
    Put,
    PutHead,
    Query,
    Row,
    Transact,
    holds,
)
from runtime.errors import StoreError

_APPLICATION = 0x416E7446  # "AntF"
_VERSION = 2
"""Version 1 had no seals and no file with heads."""

_CREATE = """
create table if not exists items (
  partition text not null, sort text not null, number integer not null, body blob not null,
  primary key (partition, sort)
) without rowid
"""


class SqliteTable:
    """A ``KeyValueTable`` in the SQLite file ``path``, created if it does not exist.

    One connection per process, used under a lock: write-ahead log, ``synchronous=FULL`` (a commit is on the disk
    when it returns), ``BEGIN IMMEDIATE``. A process waits up to ``patience`` seconds for another one's write.

    SQLite needs to write files beside a database in WAL mode even to read it. In a read-only folder the file is read
    without locks, if it has no write-ahead log: each request opens it again, and fails if it was written meanwhile.

    Beside it is its head file (``head_file``), which is created first. ``in_use`` says whether the folder has points:
    if so, or if there are heads or a log of SQLite, a missing or empty catalogue was lost, and no new one is created.
    """

    most = 100  # as DynamoDB, so that both run the same batches

    def __init__(
        self, path: str | os.PathLike[str], patience: float = 60.0, in_use: Callable[[], bool] = lambda: False
    ) -> None:
        self.path = Path(path).absolute()
        self.head_file = HeadFile(self.path)
        self._in_use = in_use
        self.patience = patience
        self._lock = forking.lock()
        self._connection: sqlite3.Connection | None = None
        self._closing: weakref.finalize[[sqlite3.Connection, int], SqliteTable] | None = None
        forking.renew(self, SqliteTable._renew)
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

    def get(self, request: Get) -> Item | None:
        """Answer a ``Get``."""
        with self._open() as connection:
            row = connection.execute(
                "select number, body from items where partition = ? and sort = ?", (request.partition, request.sort)
            ).fetchone()
        if row is None:
            return None
        number, body = row
        if type(number) is not int or type(body) is not bytes:
            raise damaged(self.path)
        return number, body

    def query(self, request: Query) -> list[Row]:
        """Answer a ``Query``."""
        order = "desc limit 1" if request.last else "asc"
        with self._open() as connection:
            found: list[Row] = connection.execute(
                "select sort, number, body from items where partition = ? and sort >= ? and sort < ? order by sort "
                + order,
                (request.partition, request.low, request.high),
            ).fetchall()
        for sort, number, body in found:
            if type(sort) is not str or type(number) is not int or type(body) is not bytes:
                raise damaged(self.path)
        return found

    def scan(self, request: KeyScan) -> tuple[bytes, bytes]:
        """Answer a ``KeyScan``: SQLite itself joins the bodies, one row of Python objects for all of them."""
        query = request.query
        with self._open() as connection:
            heads, tails = connection.execute(
                "select cast(group_concat(substr(body, 1, ?), '') as blob), "
                "cast(group_concat(substr(body, ?), '') as blob) from "
                "(select body from items where partition = ? and sort >= ? and sort < ? order by sort)",
                (request.head, request.head + 1, query.partition, query.low, query.high),
            ).fetchone()
        if not all(type(part) in (bytes, type(None)) for part in (heads, tails)):
            raise damaged(self.path)
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

    def heads(self) -> Heads | None:
        """Answer ``GetHeads``."""
        heads = self.head_file.read()
        if heads is None:
            with self._open() as connection:
                version = connection.execute("pragma user_version").fetchone()[0]
            # Read again: the process that raised the version may have created it.
            heads = self.head_file.read() if version > 1 else {}
            if heads is None:
                raise StoreError(
                    f"the file {self.head_file.path} is missing, which says how far the catalogue beside it has come: "
                    f"the catalogue may be an older one. Put it back, or run {_recover(self.path)}."
                )
        return heads

    def put_head(self, request: PutHead) -> None:
        """Carry out ``PutHead``: one process at a time, under SQLite's own write lock."""
        with self._open() as connection:
            connection.execute("begin immediate")
            try:
                heads = self.head_file.read() or {}
                if heads.get(request.stream, (0, ""))[0] < request.seq:
                    self.head_file.write({**heads, request.stream: (request.seq, request.hash)})
                if connection.execute("pragma user_version").fetchone()[0] < _VERSION:
                    connection.execute(f"pragma user_version = {_VERSION}")
                    connection.execute("commit")
            finally:
                if connection.in_transaction:
                    connection.execute("rollback")

    def problems(self) -> list[str]:
        """Problems that SQLite's own check finds."""
        with self._open() as connection:
            found = [str(row[0]) for row in connection.execute("pragma integrity_check(20)")]
        return [f"the catalogue {self.path}: {problem}" for problem in found if problem != "ok"]

    def close(self) -> None:
        """Close the file; a later request opens it again."""
        with self._lock:
            if self._closing is not None:
                self._closing()
            self._connection = self._closing = None

    def _renew(self) -> None:
        """In a forked process: SQLite's connections must be neither used nor closed there, only forgotten."""
        if self._connection is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))  # else Python would close it
        self._connection = self._closing = None

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """The connection, for exclusive use, with SQLite's errors explained."""
        with self._lock, forking.unforked():
            try:
                if self._as_it_lies:
                    with self._lying() as connection:
                        yield connection
                    return
                if self._connection is None:
                    self._connection = self._connect()
                    # A table that is never closed is closed with its last reference, or at process exit.
                    self._closing = weakref.finalize(self, _close, self._connection, os.getpid())
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                raise explained(error, self.path) from error
            # Impossible sizes; an SQLite message that contains bytes of the file.
            except (MemoryError, OverflowError, UnicodeDecodeError) as error:
                raise damaged(self.path) from error

    @contextmanager
    def _lying(self) -> Iterator[sqlite3.Connection]:
        """A connection to a file that must not be written meanwhile."""
        self._check_files()
        before = self._seen()
        uri = f"{self.path.as_uri()}?immutable=1"
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)) as connection:
            self._check(connection)
            yield connection
        if self._seen() != before:
            raise StoreError(f"the catalogue {self.path} was written to while it was read: repeat.")

    def _seen(self) -> tuple[int, ...]:
        """A fingerprint that changes with every write."""
        log = self.path.with_name(f"{self.path.name}-wal")
        if log.exists() and log.stat().st_size > 0:
            raise StoreError(
                f"the catalogue {self.path} has a log beside it: a process has it open or was killed. To read "
                "it, this user needs permission to write to the folder: grant it, or close the store there."
            )
        found = self.path.stat()
        return found.st_ino, found.st_size, found.st_mtime_ns

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_files()
        log = self.path.with_name(f"{self.path.name}-wal")
        # SQLite discards a log beside an empty file.
        if log.exists() and log.stat().st_size > 0 and not (self.path.exists() and self.path.stat().st_size > 0):
            raise self._lost()
        # Checked twice: another process may be creating it, and using it already.
        if not self.path.exists() and (self.head_file.read() or self._in_use()) and not self.path.exists():
            raise self._lost()
        connection = sqlite3.connect(self.path, timeout=self.patience, isolation_level=None, check_same_thread=False)
        try:
            connection.execute("begin")  # one consistent view: another process may be creating the table
            empty = self._check(connection)
            connection.execute("commit")
            connection.execute("pragma synchronous = full")
            if empty:
                self._create(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def _create(self, connection: sqlite3.Connection) -> None:
        """Create the head file, then the table; StoreError if a table must have existed."""
        if self.head_file.read() or self._in_use():
            connection.execute("begin immediate")
            empty = self._check(connection)
            connection.execute("rollback")
            if empty:
                raise self._lost()
            return
        self._keep_a_log(connection)
        connection.execute("begin immediate")
        if self._check(connection):
            if not self.head_file.exists():
                self.head_file.write({})
            connection.execute(_CREATE)
            connection.execute(f"pragma application_id = {_APPLICATION}")
            connection.execute(f"pragma user_version = {_VERSION}")
        connection.execute("commit")
        sync_folder(self.path.parent)

    def _keep_a_log(self, connection: sqlite3.Connection) -> None:
        """Switch to the write-ahead log. Where another process does so, SQLite does not wait, but fails at once."""
        until = time.monotonic() + self.patience
        while True:
            try:
                connection.execute("pragma journal_mode = wal")
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                    raise
                time.sleep(0.01)

    def _lost(self) -> StoreError:
        return StoreError(
            f"the catalogue {self.path} is missing or empty, but its store was in use: points, heads or a log of it "
            f"are there. Put it back with its -wal, or run {_recover(self.path)}."
        )

    def _check_files(self) -> None:
        """StoreError if SQLite would open something other than a file, which could block it."""
        for ending in ("", "-wal", "-shm", "-journal"):
            path = self.path.with_name(self.path.name + ending)
            try:
                check_regular(path)
            except OSError as error:
                raise StoreError(
                    f"the catalogue {self.path} cannot be opened: {path.name} is not what SQLite wrote "
                    f"({error.strerror}): move it away, and run {_recover(self.path)}."
                ) from None

    def _check(self, connection: sqlite3.Connection) -> bool:
        """Whether there is no table yet; StoreError if it is not a catalogue of this version."""
        application = connection.execute("pragma application_id").fetchone()[0]
        version = connection.execute("pragma user_version").fetchone()[0]
        empty = connection.execute("select count(*) from sqlite_master").fetchone()[0] == 0
        if not empty and (application != _APPLICATION or version < 1):
            raise StoreError(
                f"{self.path} is a database of another program, or damaged: choose another folder for the store, or "
                f"run {_recover(self.path)}."
            )
        if version > _VERSION:
            raise StoreError(
                f"{self.path} was written by a newer version (catalogue format {version}, this program reads "
                f"{_VERSION}): update this program."
            )
        return bool(empty)


def _close(connection: sqlite3.Connection, owner: int) -> None:
    if owner == os.getpid():
        with forking.unforked():
            connection.close()


def _fulfilled(connection: sqlite3.Connection, item: Put | Check) -> bool:
    row = connection.execute(
        "select number from items where partition = ? and sort = ?", (item.partition, item.sort)
    ).fetchone()
    return holds(item.when, item.bound, None if row is None else int(row[0]))


def _recover(path: Path) -> str:
    return f"`dataflow recover {path.parent}`"


def damaged(path: Path) -> StoreError:
    """The error for a file that SQLite cannot read, or with unexpected content."""
    return StoreError(f"the catalogue {path} is damaged or not a catalogue: run {_recover(path)}.")


def explained(error: sqlite3.Error | OSError, path: Path) -> StoreError:
    """The error as one sentence for a person: what failed, where, and what to do."""
    if isinstance(error, OSError):
        return StoreError(f"the catalogue {path} cannot be opened or written: {error.strerror or error}.")
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    match code:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreError(f"the catalogue {path} is locked by another process: repeat later.")
        case sqlite3.SQLITE_FULL:
            return StoreError(f"the catalogue {path} cannot grow, the disk is full: free space and repeat.")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_AUTH:
            return StoreError(
                f"the catalogue {path} cannot be opened for writing (SQLite needs its folder to be writable, too): "
                "give this user the permission, or copy the store."
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_TOOBIG:
            return damaged(path)  # a generic error: our statements are correct, so the tables are foreign
        case sqlite3.SQLITE_FORMAT | sqlite3.SQLITE_MISMATCH | sqlite3.SQLITE_NOMEM:
            return damaged(path)
        case sqlite3.SQLITE_IOERR:
            return StoreError(f"the catalogue {path} cannot be read or written, the disk reports an error: check it.")
        case 0 if isinstance(error, sqlite3.OperationalError):  # Python's own: a text that is not UTF-8
            return damaged(path)
        case _:
            return StoreError(f"the catalogue {path} failed: {error}.")
