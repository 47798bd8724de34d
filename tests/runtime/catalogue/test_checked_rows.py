"""Rows of the day index are checked once in a process; damaged ones are refused also after good ones were checked."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.catalogue import SqliteCatalogue, day_rows
from runtime.catalogue.checked_rows import CHECKED, CheckedRows
from runtime.catalogue.day_rows import HEAD_SIZE, DayFiles, DayTotals
from runtime.errors import FormatError, IncompleteResult
from runtime.testing.contracts.catalogue_contract import D, add, files

MARCH = "s/DAY#2024-03"
"""The partition of the days from D on."""


def stored(*days: int, partition: str = MARCH) -> list[bytes]:
    """Rows of these days as they are stored, in the order of their keys."""
    entries = [replace(file, ordinal=n) for n, file in enumerate(files("s", "0" * 32, *days))]
    keys = [day_rows.row_key(file.day, file.seq, file.ordinal) for file in entries]
    return [
        day_rows.sealed(partition, key, day_rows.pack(file, DayTotals()))
        for key, file in zip(keys, entries, strict=True)
    ]


def read(rows: list[bytes]) -> tuple[bytes, bytes]:
    """What a scan gives."""
    return b"".join(row[:HEAD_SIZE] for row in rows), b"".join(row[HEAD_SIZE:] for row in rows)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each check of seals was given."""
    found: list[int] = []
    check: Callable[[DayFiles, str], None] = DayFiles.check_seals

    def counted(rows: DayFiles, partition: str) -> None:
        found.append(len(rows))
        check(rows, partition)

    monkeypatch.setattr(DayFiles, "check_seals", counted)
    return found


def test_the_same_bytes_are_checked_once(calls: list[int]) -> None:
    checked, rows = CheckedRows(), stored(D, D, D + 1)
    for _ in range(3):
        checked.check(MARCH, read(rows))
    assert calls == [2, 1]
    checked.check(MARCH, read(stored(D, D, D + 1, D + 2)))  # what is new is checked, a day at a time
    assert calls == [2, 1, 1]
    checked.check(MARCH, read([]))
    assert calls == [2, 1, 1]


def test_a_scan_of_fewer_days_needs_no_check(calls: list[int]) -> None:
    checked = CheckedRows()
    checked.check(MARCH, read(stored(D, D, D + 1)))
    checked.check(MARCH, read(stored(D, D)))
    assert calls == [2, 1]


def test_rows_of_another_partition_are_refused() -> None:
    checked, rows = CheckedRows(), stored(D, D)
    checked.check(MARCH, read(rows))
    for _ in range(2):
        with pytest.raises(FormatError, match="its checksum is wrong"):
            checked.check("t/DAY#2024-03", read(rows))


def test_what_was_refused_is_refused_again() -> None:
    checked, (first, second) = CheckedRows(), stored(D, D)
    rows = [first, second[:-1] + bytes([second[-1] ^ 1])]
    for _ in range(2):
        with pytest.raises(FormatError, match="its checksum is wrong"):
            checked.check(MARCH, read(rows))
    assert checked.size == 0


def test_its_memory_is_bounded(calls: list[int]) -> None:
    """What was used least recently is forgotten, and checked again."""
    checked = CheckedRows(most=1024)
    a, b, c, d, e = (read(stored(D + n)) for n in range(5))
    for rows in (a, b, c, d, a, e):
        checked.check(MARCH, rows)
    assert (len(calls), checked.size) == (5, 1024)
    checked.check(MARCH, a)
    assert len(calls) == 5
    checked.check(MARCH, b)
    assert (len(calls), checked.size) == (6, 1024)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_checks_anew() -> None:
    checked = CheckedRows()
    checked.check(MARCH, read(stored(D)))
    child = os.fork()
    if not child:
        os._exit(int(checked.size != 0))
    assert os.waitpid(child, 0)[1] == 0
    assert checked.size > 0


@given(days=st.lists(st.integers(0, 3), min_size=1, max_size=6), data=st.data())
def test_a_damaged_byte_is_found_after_good_rows_were_checked(days: list[int], data: st.DataObject) -> None:
    checked, rows = CheckedRows(), stored(*(D + day for day in sorted(days)))
    checked.check(MARCH, read(rows))
    which = data.draw(st.integers(0, len(rows) - 1))
    at, bits = data.draw(st.integers(0, len(rows[which]) - 1)), data.draw(st.integers(1, 255))
    damaged = bytearray(rows[which])
    damaged[at] ^= bits
    with pytest.raises(FormatError, match="dataflow recover"):
        checked.check(MARCH, read([*rows[:which], bytes(damaged), *rows[which + 1 :]]))
    checked.check(MARCH, read(rows))


@given(days=st.lists(st.integers(0, 1), min_size=2, max_size=5), data=st.data())
def test_other_orders_and_borders_are_refused(days: list[int], data: st.DataObject) -> None:
    """Bytes that change places, within a day's rows or across the border of two rows, are not the bytes checked."""
    checked, rows = CheckedRows(), stored(*(D + day for day in sorted(days)))
    checked.check(MARCH, read(rows))
    whole = b"".join(rows)
    one, two = sorted(data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=2, max_size=2, unique=True)))
    changed = bytearray(whole)
    changed[one], changed[two] = changed[two], changed[one]
    if bytes(changed) == whole:
        return
    ends = [sum(map(len, rows[: n + 1])) for n in range(len(rows))]
    parts = [bytes(changed[end - len(row) : end]) for end, row in zip(ends, rows, strict=True)]
    with pytest.raises(FormatError, match="dataflow recover"):
        checked.check(MARCH, read(parts))


@pytest.mark.parametrize("at", [0, 8, 16, 24, 40, 100, HEAD_SIZE + 3, -1])
def test_a_store_that_is_damaged_after_it_was_read(tmp_path: Path, at: int) -> None:
    """Also where the process has checked these rows before; a catalogue that read them answers as before."""
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path) as catalogue:
        for name in "abc":
            add(catalogue, name, D, D + 1)
        good = catalogue.snapshot("s")
        assert CHECKED.size > 0
        with closing(sqlite3.connect(path)) as connection, connection:
            where = "partition like 's/DAY%' and sort like '%-19#%2#%'"
            ((body,),) = connection.execute(f"select body from items where {where}").fetchall()
            damaged = bytearray(body)
            damaged[at] ^= 1
            connection.execute(f"update items set body = ? where {where}", (bytes(damaged),))
        with SqliteCatalogue(path) as other:
            for _ in range(2):
                with pytest.raises((FormatError, IncompleteResult), match="dataflow recover"):
                    other.snapshot("s")
            assert catalogue.snapshot("s") == good
            with closing(sqlite3.connect(path)) as connection, connection:
                connection.execute(f"update items set body = ? where {where}", (body,))
            assert other.snapshot("s") == good
