"""Damage that once went unnoticed: each kind is an error now, and `verify` reports it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from operators.errors import DataflowError
from runtime.catalogue import DAY, SqliteCatalogue
from runtime.catalogue.day_rows import HEAD
from runtime.catalogue.items.seal import sealed_json
from runtime.testing.contracts.catalogue_contract import D, add

Connection = sqlite3.Connection
AT = HEAD.fields
assert AT is not None


def flipped(body: bytes, at: int) -> bytes:
    return body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :]


def field_of_a_row(name: str) -> Callable[[Connection], None]:
    def damage(connection: Connection) -> None:
        at = AT[name][1]  # type: ignore[index]
        connection.create_function("flipped", 1, lambda body: flipped(body, at))
        connection.execute("update items set body = flipped(body) where partition like 's/DAY%' and sort like '%-19#%'")

    return damage


def sql(statement: str) -> Callable[[Connection], None]:
    def damage(connection: Connection) -> None:
        assert connection.execute(statement).rowcount >= 1

    return damage


def first_time(connection: Connection) -> None:
    """The first time in the log's totals, in a record whose seal fits: only recomputing it shows the damage."""
    ((number, body),) = connection.execute(
        "select number, body from items where partition = 's/LOG' and sort like '%3'"
    )
    text = body.replace(f'"first":{D * DAY}'.encode(), f'"first":{(D + 1) * DAY}'.encode())
    assert text != body
    payload = text[: text.index(b',"seal"')] + b"}"
    changed = sealed_json("s/LOG", "000000000003", number, payload)
    connection.execute("update items set body = ? where partition = 's/LOG' and sort like '%3'", (changed,))


def no_table(connection: Connection) -> None:
    connection.execute("drop table items")


DAMAGE = {
    "first time of a row": field_of_a_row("t_min"),
    "last time of a row": field_of_a_row("t_max"),
    "deletion of a row": field_of_a_row("del_seq"),
    "key of a row": sql("update items set sort = replace(sort, '-19#', '-29#') where partition like 's/DAY%'"),
    "month of a row": sql("update items set partition = 's/DAY#2024-07' where partition = 's/DAY#2024-03'"),
    "all rows of a day": sql("delete from items where partition like 's/DAY%' and sort like '%-19#%'"),
    "all rows": sql("delete from items where partition like 's/DAY%'"),
    "first time of the log": first_time,
    "key of the last record": sql("update items set sort = '000000000007' where sort = '000000000003'"),
    "last record": sql("delete from items where partition = 's/LOG' and sort = '000000000003'"),
    "last record and watermark": sql("delete from items where sort = 'WM' or sort = '000000000003'"),
    "the log": sql("delete from items where partition = 's/LOG'"),
    "all but the list of streams": sql("delete from items where partition like 's/%'"),
    "everything": sql("delete from items"),
    "number of the watermark": sql("update items set number = 100 where sort = 'WM'"),
    "body of another type": sql("update items set body = 5 where sort = 'WM'"),
    "no body of bytes": sql("update items set body = cast(body as text) where sort = 'HEAD'"),
    "no table": no_table,
}


def ask(path: Path) -> None:
    """What a query and `verify` ask; what `verify` finds is raised."""
    with SqliteCatalogue(path) as catalogue:
        catalogue.streams()
        catalogue.snapshot("s", (D + 1) * DAY, (D + 2) * DAY)
        catalogue.snapshot("s", D * DAY, (D + 1) * DAY)
        if problems := [*catalogue.problems(), *catalogue.audit("s")]:
            raise DataflowError(f"{problems}: dataflow recover")


def commit(path: Path) -> None:
    with SqliteCatalogue(path) as catalogue:
        add(catalogue, "d", D + 1)
    ask(path)


@pytest.mark.parametrize("name", DAMAGE)
def test_it_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path) as catalogue:
        for source in "abc":
            add(catalogue, source, D, D + 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        DAMAGE[name](connection)
    with pytest.raises(DataflowError, match="dataflow recover"):
        ask(path)
    with pytest.raises(DataflowError):  # nothing that is added makes it look whole
        commit(path)
