"""Rows that change something, against a plain implementation that looks at every row."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.columns import Column, Points
from runtime.pointfile import Buffers, PointFile
from runtime.pointfile.layout import DELTA, LINEAR
from runtime.pointfile.reading.columns_of_file import NO_HOLD
from tests.runtime.pointfile.cases import START, TIME, column, file_rows, open_bytes, packed, text_column

BUFFERS = Buffers()
Row = tuple[object, ...]


def expected(file: PointFile, b: int, hold: int) -> list[tuple[Row, bool]]:
    """The rows of block ``b`` that stay, and whether they are bridged."""
    block = file.blocks[b]
    rows = file_rows(file)[int(block["row_start"]) : int(block["row_start"] + block["rows"])]
    out: list[tuple[Row, bool]] = []
    for i, row in enumerate(rows):
        first = i == 0 or rows[i - 1][0] != row[0]
        last = i == len(rows) - 1 or rows[i + 1][0] != row[0]
        near = not first and row[1] - rows[i - 1][1] <= hold  # type: ignore[operator]
        near_next = not last and rows[i + 1][1] - row[1] <= hold  # type: ignore[operator]
        if first or last or not near or not near_next or rows[i - 1][2:] != row[2:]:
            out.append((row, near))
    return out


def found(file: PointFile, names: list[str], first: int, last: int, hold: int) -> list[tuple[Row, bool]]:
    loaded = file.load(names, 0, len(file.blocks), buffers=BUFFERS)
    keys = file.key_column(0, file.keys).to_list()
    out: list[tuple[Row, bool]] = []
    while first < last:
        first, changes = loaded.changes(first, last, names, hold, BUFFERS)
        key = [
            keys[k]
            for k, n in zip(changes.run_key.tolist(), changes.run_lengths.tolist(), strict=True)
            for _ in range(n)
        ]
        columns = []
        for name in names:
            values, valid = changes.columns[name]
            words = file.dictionary(name).strings if file.schema[name] is Type.STRING else []
            shown = [words[v] if words else v for v in values.tolist()]
            if file.schema[name] is Type.FLOAT:
                shown = [np.float64(v).tobytes() for v in shown]
            if file.schema[name] is Type.BOOL:
                shown = [bool(v) for v in shown]
            columns.append([v if ok else None for v, ok in zip(shown, valid.tolist(), strict=True)])
        rows = list(zip(key, changes.time.tolist(), *columns, strict=True))
        out += list(zip(rows, [bool(v) for v in changes.bridged.tolist()], strict=True))
    return out


@st.composite
def repetitive(draw: st.DrawFn) -> tuple[Points, int]:
    """Keys whose times tick or drift or tie, with gaps, and columns that seldom change."""
    keys = draw(st.integers(1, 4))
    sizes = draw(st.lists(st.integers(1, 90), min_size=keys, max_size=keys))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = sum(sizes)
    clock = draw(st.sampled_from(["ticking", "drifting", "tied", "long"]))
    time = []
    for size in sizes:
        step = int(rng.integers(1, 50_000)) * 1000
        jitter = rng.integers(0, draw(st.sampled_from([1, 3, 300, 70_000])), size)
        if clock == "tied":
            t = np.cumsum(rng.integers(0, 2, size))
        elif clock == "drifting":
            t = np.cumsum(step + jitter * 1000)
        else:
            t = np.arange(size) * step + jitter * (1000 if clock == "ticking" else 7)
        gaps = rng.random(size) < draw(st.sampled_from([0, 0, 0.1]))
        time.append(START + np.sort(t) + np.cumsum(gaps * int(rng.integers(1, 10**8))))
    key = text_column([f"k{i}" for i, size in enumerate(sizes) for _ in range(size)])

    def seldom(values: list[object]) -> list[object]:
        return [values[i % len(values)] for i in np.cumsum(rng.random(n) < draw(st.sampled_from([0.0, 0.02, 0.1])))]

    columns = {
        "s": text_column(seldom(["up", "down", ""])),  # type: ignore[arg-type]
        "b": column(Type.BOOL, seldom([True, False])),
        "i": column(Type.INT, seldom([2**63 - 1, -(2**63), 0])),
        "f": column(Type.FLOAT, seldom([0.5, -0.0, 1e300])),
        "null": column(Type.DURATION, [None] * n),
    }
    names = draw(st.lists(st.sampled_from(sorted(columns)), unique=True))
    points = Points(key, np.concatenate(time).astype(np.int64), {name: columns[name] for name in names})
    return points, draw(st.sampled_from([16, 64, 32768]))


HOLDS = st.sampled_from([0, 1, 2, 50_000, 25_000_000, 60_000_000, 10**9, NO_HOLD])


@given(repetitive(), HOLDS)
def test_changes_are_those_of_the_plain_twin(given_points: tuple[Points, int], hold: int) -> None:
    points, block_rows = given_points
    file = open_bytes(packed(points, block_rows))
    names = list(file.schema)
    good = file.has_changes(names, [n for n in names if n != "null"])
    for b in np.flatnonzero(good).tolist():
        assert found(file, names, b, b + 1, hold) == expected(file, b, hold)
    if good.all():
        whole = [pair for b in range(len(file.blocks)) for pair in expected(file, b, hold)]
        assert found(file, names, 0, len(file.blocks), hold) == whole


def test_both_ways_of_storing_times_are_met() -> None:
    rng = np.random.default_rng(5)
    key, ticks = text_column(["a"] * 500), np.arange(500) * 60_000_000
    state = {"s": text_column(["up"] * 200 + ["down"] * 300)}
    ticking = START + ticks + rng.integers(0, 4000, 500) * 1000
    drifting = START + np.cumsum(rng.integers(0, 4_000_000, 500))
    for time, encoding in ((ticking, LINEAR), (drifting, DELTA)):
        file = open_bytes(packed(Points(key, time, state)))
        assert file.chunks(TIME)["encoding"].tolist() == [encoding]
        assert file.has_changes(["s"], ["s"]).all()
        for hold in (0, 3_999_999, 61_000_000, NO_HOLD):
            assert found(file, ["s"], 0, 1, hold) == expected(file, 0, hold)


def test_blocks_of_which_changes_cannot_be_had() -> None:
    n = 64
    key, time = text_column(["a"] * n), START + np.arange(n) * 1_000_000
    busy = Column(Type.INT, np.arange(n) * 7919 % 64)
    holes = column(Type.INT, [None if i % 2 else 1 for i in range(n)])
    nothing = column(Type.INT, [None] * n)
    file = open_bytes(packed(Points(key, time, {"busy": busy, "holes": holes, "nothing": nothing})))
    for names, reported, good in (
        (["busy"], [], False),
        (["holes"], [], False),
        (["nothing"], [], True),
        (["nothing"], ["nothing"], False),
        ([], [], True),
    ):
        assert file.has_changes(names, reported).tolist() == [good]
