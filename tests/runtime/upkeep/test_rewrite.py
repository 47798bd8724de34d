"""Files that are written again: the same rows, of bounded size, known by what they hold."""

from __future__ import annotations

import itertools
import tempfile
import tracemalloc
from collections import Counter
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime import Store
from runtime.catalogue import FileEntry, new_attempt
from runtime.catalogue.items.entries import DAY
from runtime.pointfile import PointFile
from runtime.upkeep import rewrite
from runtime.upkeep.rewrite import Rewriting
from runtime.upkeep.spans import Span
from tests.runtime.query.scan.compacted_files import resolved, rows_of

START = 19_800 * DAY


def rewriting(store: Store) -> Rewriting:
    schema = store.catalogue.schema("s")
    assert schema is not None
    order = store.catalogue.order("s")
    return Rewriting(store.objects, store.open_file, "s", schema, new_attempt(), order)


def opened(store: Store, entry: FileEntry) -> PointFile:
    data = store.objects.read(entry.path, 0, entry.bytes)
    return PointFile.open(lambda offset, length: data[offset : offset + length], len(data), entry.path)


def rows(store: Store, files: Any) -> Counter[str]:
    """All rows with their commit order; a column that a file lacks is null there."""
    found = (row for f in files for row in rows_of(f, opened(store, f)))
    return Counter(repr((row.place, sorted((n, v) for n, v in row.values.items() if v is not None))) for row in found)


POINTS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.integers(0, 5 * DAY), st.sampled_from([None, 1, 2]),
        st.sampled_from(["u", "ü" * 3, "", None]),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


def ingest(store: Store, points: list[Any], **more: Any) -> None:
    k, t, v, s = (list(column) for column in zip(*points, strict=True))
    columns = {"k": k, "t": [START + x for x in t], "v": v, "s": s}
    store.ingest("s", columns, key="k", time="t", unit="us", progress=False, compact=False, **more)


@settings(max_examples=max(12, settings().max_examples // 3))
@given(
    st.lists(POINTS, min_size=1, max_size=4, unique_by=repr),
    st.sampled_from(["keep", "exact", "latest"]),
    st.sampled_from([1, 3, 1 << 20]),
    st.booleans(),
    st.sampled_from([1, 6, 1 << 25]),
)
def test_the_same_rows(sources: list[list[Any]], policy: str, full: int, by_day: bool, text: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(rewrite, "FULL", full)
        patch.setattr(rewrite, "_TEXT", text)
        store = Store(Path(folder), create=True)
        for points in sources:
            ingest(store, points, duplicates=policy)
        before = list(store.files("s"))
        spans = tuple(Span(START + n * DAY, START + (n + 1) * DAY) for n in range(6)) if by_day else ()
        after = rewriting(store).compacted(before, spans)
        assert rows(store, after) == rows(store, before)
        assert sum(f.content_hash for f in after) % 2**256 == sum(f.content_hash for f in before) % 2**256
        for f in after:
            mine = rows_of(f, opened(store, f))
            assert f.checked("s", after[0].path.rpartition("/")[2].partition("-")[0]) == f
            assert [row.place for row in mine] == sorted(row.place for row in mine)
            assert f.repeats == len(mine) - len(resolved(mine, policy, None))
            if by_day:
                assert f.days == 1
            if opened(store, f).text_bytes > text:  # one time of one key is not split
                assert f.t_min == f.t_max
            if full < 3:  # one time of one key is not split
                times = Counter(row.time for row in mine)
                assert len(mine) < 2 * full or len(times) == 1 or len({row.key for row in mine}) > 1
        store.close()


def test_one_key_with_most_rows_is_split_by_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrite, "FULL", 100)
    store = Store(tmp_path, create=True)
    ingest(store, [("a", n * 1000, n, None) for n in range(1000)])
    files = rewriting(store).compacted(list(store.files("s")), ())
    assert len(files) >= 8
    assert max(f.rows for f in files) <= 200
    ordered = sorted(files, key=lambda f: f.t_min)
    assert all(a.t_max < b.t_min for a, b in itertools.pairwise(ordered))


@pytest.mark.parametrize("keys", [1, 10])
def test_long_texts_are_not_in_memory_all_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    text = 1 << 20
    monkeypatch.setattr(rewrite, "_TEXT", text)
    store, random = Store(tmp_path, create=True), Random(1)
    for n in range(16):
        ingest(store, [(f"k{i % keys}", 50 * n + i, i, random.randbytes(20_000).hex()) for i in range(50)])
    before = list(store.files("s"))
    tracemalloc.start()
    try:
        after = rewriting(store).compacted(before, ())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(opened(store, f).text_bytes for f in before) > 30 * text
    assert max(opened(store, f).text_bytes for f in after) <= text
    assert sum(f.rows for f in after) == 800
    assert peak < 24 * text  # there are 30 of them, in memory several times over


def test_what_is_known_of_texts_without_reading_them(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    words = [f"{n:06}" * (1 + n % 7) for n in range(70_000)]  # several frames
    ingest(store, [("a", n, n, word) for n, word in enumerate(words)])
    (entry,) = store.files("s")
    file = opened(store, entry)
    whole = file.dictionary("s")
    assert file.text_bytes == len(whole.blob)
    assert file.text_lengths("s").tolist() == [len(word) for word in whole.strings]
    chosen = np.array([0, 1, 7, 30_000, 30_001, len(whole) - 1])
    assert file.some_words("s", chosen).strings == [whole.strings[code] for code in chosen]
    assert file.some_words("s", np.arange(len(whole))).strings == whole.strings
    assert file.some_words("s", chosen[:0]).strings == []


def test_integers_of_a_column_that_became_float(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, [("a", 0, 2**53, None)])
    ingest(store, [("a", 1, 0.5, None)])
    before = list(store.files("s"))
    (file,) = rewriting(store).compacted(before, ())
    assert [row.values["v"] for row in rows_of(file, opened(store, file))] == [2.0**53, 0.5]


def test_integers_that_no_float_holds_stay(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    ingest(store, [("a", 0, 2**53 + 1, None)])
    ingest(store, [("a", 1, 1, None)])
    files = list(store.files("s"))
    given = rewriting(store)
    wide = replace(given, schema=replace(given.schema, columns={**given.schema.columns, "v": Type.FLOAT}))
    (file,) = wide.compacted(files, ())  # both have integers
    assert [row.values["v"] for row in rows_of(file, opened(store, file))] == [2**53 + 1, 1]
