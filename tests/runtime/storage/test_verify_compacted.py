"""Verification of files that a compaction wrote: days, commit orders, repeats, and that no row was lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue.items.entries import SEQ, order_of
from runtime.storage import verify_store
from tests.runtime import compacted as plain
from tests.runtime.compacted import compacted
from tests.runtime.published.histories import day, ingest


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", create=True) as store:
        again = {name: values[3:9] for name, values in day(0).items()}
        ingest(store, day(0), day(1), again, day(40), duplicates="exact")
        yield store


def test_compacted_files_of_several_days_are_all_right(store: Store) -> None:
    (one,) = compacted(store, list(store.files("s")))
    assert (one.days, one.repeats) == (41, 6)
    report = store.verify()
    assert report.ok, report.problems
    # What was replaced is no orphan: it is collected in time.
    assert report.orphans == ()


def test_rows_of_no_earlier_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = plain.rows_of

    def later(store: Any, entry: Any) -> Any:
        rows, types = inner(store, entry)
        return [(*row[:2], order_of(77, 0) if n < 3 else row[2], *row[3:]) for n, row in enumerate(rows)], types

    monkeypatch.setattr(plain, "rows_of", later)
    compacted(store, list(store.files("s"))[:1])
    (problem,) = store.verify().problems
    assert problem.endswith("3 of its rows are of no source of an earlier commit")


def test_a_file_of_its_own_commit_is_not_earlier() -> None:
    import numpy as np

    from runtime.catalogue import FileEntry

    file = FileEntry("p", 0, 4, 1, 0, 1, "", seq=3, nulls={SEQ: 0})
    sources = np.array([1, 3], np.int64)
    given = np.array([order_of(1, 0), order_of(1, 7), order_of(2, 1), order_of(3, 0), order_of(9, 9)], np.int64)
    assert verify_store._strange(given, 5, file, sources) == 3
    assert verify_store._strange(given[4:], 5, file, sources) == 5
    assert verify_store._strange(given[:1], 5, file, sources) == 0


def test_a_wrong_number_of_repeats(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_repeats", lambda rows, schema: 0)
    compacted(store, list(store.files("s")))
    (problem,) = store.verify().problems
    assert problem.endswith("its repeated rows: the file has 6, the catalogue says 0")


def test_a_compaction_that_lost_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = plain.rows_of
    monkeypatch.setattr(plain, "rows_of", lambda *of: (inner(*of)[0][1:], inner(*of)[1]))
    compacted(store, list(store.files("s"))[:1])
    first, problem = store.verify().problems
    assert "as its first time" in first  # that was the row
    assert problem == "commit 5: 24 rows were replaced by 23, and the contents of the files do not say so"


def test_a_compaction_with_another_content(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = plain.replaced

    def other(store: Any, files: Any, by: Any, attempt: str) -> Any:
        return inner(store, files, [replace(f, content="0" * 63 + "1") for f in by], attempt)

    monkeypatch.setattr(plain, "replaced", other)
    compacted(store, list(store.files("s"))[:1])
    assert "the contents of the files do not say so" in store.verify().problems[0]


def test_other_days_than_committed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (one,) = compacted(store, list(store.files("s"))[:2])
    data = store.objects.read(one.path, 0, one.bytes)
    wrong = replace(one, t_max=one.t_max + 5 * 86_400_000_000)
    found = list(
        verify_store.decode_points(
            data, wrong, orders=verify_store._orders(list(store.catalogue.records("s"))), repeats_in=None,
            schema=store.catalogue.snapshot("s").schema,
        )
    )  # fmt: skip
    assert any(line.startswith("the number of days: ") for line in found)
