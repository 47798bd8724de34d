"""Rows before ``since`` are seen, and filters that hide them are reported: whole stores against answers by hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from dataflow.examples.retail_ledger import closing_balances
from runtime import Store
from runtime.query.plan import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.result.result import Result

pytestmark = pytest.mark.usefixtures("plain_files")

MINUTE, DAY = 60_000_000, 86_400_000_000
JANUARY = 19_723 * DAY
"""2024-01-01."""

col, s = df.col, df.stream("s")


def store_of(folder: Path, rows: Sequence[dict[str, Any]], stream: str = "s", parts: int = 1) -> Store:
    """A store with these points, of key ``k`` and time ``t``, from so many sources."""
    store = Store(folder / "store", create=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for n in range(parts):
        points = {name: [row.get(name) for row in rows[n::parts]] for name in names}
        store.ingest(stream, points, key="k", time="t", unit="us", progress=False)
    return store


def ask(store: Store, metric: df.Stream | str, since: Any = None, until: Any = None, **options: Any) -> Result:
    return store.query(metric, since, until, progress=False, **options)


def rows_of(result: Result) -> list[tuple[object, ...]]:
    return list(result)


# ---- rows of windows


@pytest.fixture
def ledger(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    lines = {
        "customer": ["c1", "c1"], "invoice": ["1", "2"], "country": ["DE", "DE"],
        "ts": [JANUARY + 9 * DAY, JANUARY + 40 * DAY], "quantity": [1, -1], "unit_price": [100.0, 30.0],
    }  # fmt: skip
    store.ingest("purchases", lines, key="customer", time="ts", unit="us", progress=False)
    return store


@pytest.mark.parametrize(
    ("since", "balances"),
    [
        ("2024-03-01", [70, 70, 70]),
        ("2024-02-01", [70, 70, 70, 70]),
        ("2024-02-15", [70, 70, 70, 70]),
        (None, [100, 70, 70, 70, 70]),
    ],
)
def test_closing_balances(ledger: Store, since: str | None, balances: list[int]) -> None:
    result = ask(ledger, closing_balances, since, "2024-06-01")
    assert result["balance"] == balances
    # The last is cut in February, by since or at the stream's beginning, or in none.
    cut = {"2024-02-15": 1, None: 1}.get(since, 0)
    expected = f"1 of {len(balances)} windows is partial: the range or the stream's beginning cuts it"
    assert result.notes == ([expected] if cut else [])


def test_what_looks_back_at_windows_and_sessions(tmp_path: Path) -> None:
    # a: sessions of 2, 1 and 3 points on days 1, 2 and 3.
    times = [(1, 0), (1, 5), (2, 0), (3, 0), (3, 5), (3, 9)]
    store = store_of(tmp_path, [{"k": "a", "t": JANUARY + d * DAY + m * MINUTE, "v": float(m)} for d, m in times])
    shown = {"n": col("count"), "last": col("top").last(), "was": col("count").previous()}
    shown |= {"new": col("count").changed(), "sum": col("count").cumulative_sum()}
    third = [(3, 9.0, 1, True, 6)]
    for maker in (s.window("1d", top=df.max("v")), s.sessionize("10m", top=df.max("v"))):
        for since in (JANUARY + 3 * DAY, JANUARY + 2 * DAY + 1):
            assert [row[1:-1] for row in rows_of(ask(store, maker.select(**shown), since))][-1:] == third
        whole = [row[1:-1] for row in rows_of(ask(store, maker.select(**shown)))]
        assert whole == [(2, 5.0, None, False, 2), (1, 0.0, 2, True, 3), *third]
        # Cut in the middle of a day, or of a session: its own columns are those of the range, what looks back is whole,
        # but for changes: they count where a row begins, which is before the range.
        (cut,) = rows_of(ask(store, maker.select(**shown), JANUARY + 3 * DAY + 3 * MINUTE))
        assert cut[1:-1] == (2, 9.0, 1, False, 6)


def test_trailing_actives(tmp_path: Path) -> None:
    days = {"a": [1, 2, 3, 5], "b": [1, 4, 5], "c": [2, 3]}
    points = [{"k": k, "t": JANUARY + d * DAY + 7 * MINUTE} for k, listed in days.items() for d in listed]
    store = store_of(tmp_path, points, parts=3)
    active = s.window("1d", size="3d").group_by(day=col("start")).agg(
        keys=df.count_distinct("k"), cut=df.any_true("partial")
    )  # fmt: skip
    result = ask(store, active, JANUARY + 3 * DAY, JANUARY + 6 * DAY)
    assert [(int(day) - JANUARY) // DAY for day in result["day"]] == [1, 2, 3, 4, 5]  # type: ignore[call-overload]
    assert result["keys"] == [3, 3, 3, 2, 2]
    # The first window begins before the first point, the last two end after the range.
    assert result["cut"] == [True, False, False, True, True]


def test_windows_that_something_cuts_are_partial(tmp_path: Path) -> None:
    store = store_of(tmp_path, [{"k": "a", "t": JANUARY + h * 60 * MINUTE} for h in range(6, 90, 2)])
    metric = s.window("1d")
    for since, until, partial in [
        (None, None, [True, False, False, True]),
        (JANUARY, JANUARY + 4 * DAY, [True, False, False, False]),
        (JANUARY + DAY, JANUARY + 2 * DAY, [False]),
        (JANUARY + DAY + 1, JANUARY + 3 * DAY - 1, [True, True]),
    ]:
        result = ask(store, metric, since, until)
        assert result["partial"] == partial
        number = sum(partial)
        assert [re.match(r"\d+ of \d+", note)[0] for note in result.notes] == (  # type: ignore[index]
            [f"{number} of {len(partial)}"] if number else []
        )
        assert ("note: " in result.to_text()) == bool(number)
        assert result.to_dict()["proof"]["notes"] == list(result.notes)  # type: ignore[index]
    explained = store.explain(metric, JANUARY + DAY + 1, JANUARY + 3 * DAY)
    assert "windows of step 2 (window) are partial: those that begin before 2024-01-02T00:00:00.000001Z" in explained
    assert "partial" not in store.explain(metric, JANUARY + DAY, JANUARY + 3 * DAY)
    # Of the rows that are left, and also where the column is not among them.
    assert ask(store, metric.limit(1)).notes[0].startswith("1 of 1 window is partial")
    last = metric.sort("start", descending=True).limit(3).select("start")
    assert ask(store, last).notes[0].startswith("1 of 3 windows is partial")
    assert ask(store, metric.filter(~col("partial"))).notes == []


@pytest.mark.parametrize("by", [{}, {"by": []}], ids=["of keys", "across keys"])
def test_partial_windows_are_noted_whatever_steps_follow(tmp_path: Path, by: dict[str, Any]) -> None:
    store = store_of(tmp_path, [{"k": "a", "t": JANUARY + h * 60 * MINUTE} for h in range(6, 90, 2)])
    windows = s.window("1d", n=df.count(), **by)
    for metric, said in [
        (windows.select("n"), "2 of 4 windows"),
        (windows.filter(col("n") < 12).select("n"), "2 of 2 windows"),
        (windows.filter(col("n") == 12), ""),
        (windows.sort("start").with_columns(x=col("n") * 2).select("x"), "2 of 4 windows"),
        (windows.sort("start").limit(1).filter(col("n") > 0).select("n"), "1 of 1 window"),
        (windows.group_by("n").agg(days=df.count()), ""),
    ]:
        notes = ask(store, metric).notes
        assert notes[0].startswith(said) if said else notes == []


@pytest.mark.parametrize("name", ["window", "sliding", "sessionize", "states", "transitions"])
@pytest.mark.parametrize("since", [JANUARY + 2 * DAY, JANUARY + 2 * DAY + 1, JANUARY + 3 * DAY + 7 * MINUTE])
def test_the_same_bits_for_every_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, since: int) -> None:
    monkeypatch.setattr(make_tasks, "_SMALL", 5)
    times = [JANUARY + (i * 7919 % 6000) * MINUTE for i in range(400)]
    points = [
        {"k": f"k{i % 7}", "t": t, "v": (i * 37 % 100) / 7, "st": ["up", "down", None][i * 5 % 3]}
        for i, t in enumerate(sorted(times))
    ]
    maker = {
        "window": s.window("6h", x=df.sum("v")),
        "sliding": s.window("1h", size="5h", x=df.sum("v")),
        "sessionize": s.sessionize("45m", x=df.sum("v")),
        "states": s.state_duration("st", hold="3h").with_columns(x=col("duration") / timedelta(seconds=1)),
        "transitions": s.transitions("st", gap="3h").with_columns(x=col("after") / timedelta(seconds=1)),
    }[name]
    metric = maker.with_columns(was=col("x").previous(), sum=col("x").cumulative_sum(), last=col("x").last("9h"))
    whole = store_of(tmp_path / "one", points)
    expected = ask(whole, metric, since, workers=1)
    assert len(expected) > 20
    assert expected.types["sum"].value == "float64"
    split = store_of(tmp_path / "many", points, parts=4)
    split.publish(metric, "looking")
    digests = {ask(split, metric, since, workers=n).proof.to_dict()["result"] for n in (1, 2, 5)}
    digests |= {ask(split, "looking", since).proof.to_dict()["result"] for _ in range(2)}
    assert digests == {expected.proof.to_dict()["result"]}
    # Rows that the range does not cut are those of the whole.
    columns = ("k", "start", "was", "sum", "last")
    later = {row for row in zip(*(ask(whole, metric)[n] for n in columns), strict=True) if row[1] >= since}  # type: ignore[operator]
    found = set(zip(*(expected[n] for n in columns), strict=True))
    assert {row for row in found if row[1] > since} >= {row for row in later if row[1] > since}  # type: ignore[operator]


# ---- columns that few rows report


@pytest.fixture
def boots(tmp_path: Path) -> Store:
    rows = [(0, "1.0", "on"), (5, None, "off"), (9, "1.1", None), (12, None, "on")]
    return store_of(tmp_path, [{"k": "a", "t": JANUARY + m * MINUTE, "fw": fw, "st": st} for m, fw, st in rows])


def test_a_filter_hides_reports_from_last_and_a_note_says_so(boots: Store) -> None:
    changes = s.filter(col("st").changed())
    result = ask(boots, changes.group_by(fw=col("fw").last()).agg(n=df.count()))
    assert rows_of(result) == [(None, 2)]
    (note,) = result.notes
    assert note.startswith("fw is not reported on 2 of 2 rows")
    assert '.held("fw") before step 2 (filter)' in note
    assert f" note: {note}" in result.to_text().splitlines()
    assert "fw is not reported on 2 of 2 rows" in result._repr_html_()
    explained = boots.explain(changes.group_by(fw=col("fw").last()).agg(n=df.count()))
    assert "fw is not reported on 2 of 4 points" in explained
    assert '.held("fw")' in explained
    held = s.held("fw").filter(col("st").changed()).group_by("fw").agg(n=df.count())
    assert rows_of(ask(boots, held)) == [("1.0", 1), ("1.1", 1)]
    assert ask(boots, held).notes == []
    assert ".held" not in boots.explain(held)


def test_groups_of_a_column_that_few_rows_report(boots: Store) -> None:
    result = ask(boots, s.filter(col("st").changed()).group_by("fw").agg(n=df.count()))
    assert rows_of(result) == [(None, 2)]
    assert result.notes[0].startswith("fw is not reported on 2 of 2 rows that step 3 (group_by) groups")
    # As many as are reported are not most.
    assert ask(boots, s.group_by("fw").agg(n=df.count())).notes == []
    after = ask(boots, s.group_by(new=col("fw") >= "1.1").agg(n=df.count()), JANUARY + 1)
    assert after.notes[0].startswith("fw is not reported on 2 of 3 rows that step 2 (group_by) groups")
    # A metric that handles null knows of it; and last without a filter sees all reports.
    for by in (col("fw").is_null(), col("fw").fill_null("?"), col("fw").last()):
        assert ask(boots, s.group_by(x=by).agg(n=df.count()), JANUARY + 1).notes == []


def test_reports_are_counted_exactly_however_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_tasks, "_SMALL", 5)
    points = [
        {"k": f"k{i % 9}", "t": JANUARY + i * 700 * MINUTE, "v": i, "fw": "1.0" if i % 11 == 0 else None}
        for i in range(300)
    ]
    store = store_of(tmp_path, points, parts=4)
    grouped = s.group_by("fw").agg(n=df.count())
    looked = s.filter(col("v") % 2 == 1).group_by(fw=col("fw").last()).agg(n=df.count())
    since = JANUARY + 100 * 700 * MINUTE
    rows = [p for p in points[100:] if p["fw"] is None]
    odd = [p for p in points[100:] if p["v"] % 2 == 1]
    for metric, count in (
        (grouped, f"{len(rows)} of 200 rows"),
        (looked, f"{sum(p['fw'] is None for p in odd)} of {len(odd)} rows"),
    ):
        store.publish(metric, "few")
        results = [ask(store, metric, since, workers=n) for n in (1, 2, 4)]
        results += [ask(store, "few", since) for _ in range(2)]
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            results.append(ask(store, metric, since, executor=pool, workers=2))
        assert all(r.notes == results[0].notes for r in results)
        assert count in results[0].notes[0]


def test_held_sees_what_lies_before_the_range(boots: Store) -> None:
    held = s.held("fw", "st")
    assert ask(boots, held, JANUARY + 5 * MINUTE)["fw"] == ["1.0", "1.1", "1.1"]
    assert ask(boots, held, JANUARY + 5 * MINUTE)["st"] == ["off", "off", "on"]
    briefly = ask(boots, s.held("fw", hold="3m"), JANUARY + 5 * MINUTE)
    assert briefly["fw"] == [None, "1.1", "1.1"]
    again = ask(boots, s.held("fw", hold=timedelta(minutes=3)), JANUARY + 5 * MINUTE)
    assert again["fw"] == briefly["fw"]
    one = ask(boots, s.select(fw=col("fw").last(where=col("st") == "on")), JANUARY + 5 * MINUTE)
    assert one["fw"] == ["1.0", "1.0", "1.0"]


def test_a_look_back_that_ends_reads_no_more_than_that(tmp_path: Path) -> None:
    store = store_of(tmp_path, [{"k": "a", "t": JANUARY + d * DAY, "v": d} for d in range(30)])
    for metric, files in [
        (s.held("v", hold="2d"), 5 + 2),
        (s.window("1d", size="3d"), 5 + 3),
        (s.window("1d", v=df.max("v")).with_columns(v=col("v").last("2d")), 5 + 2 + 1),
        (s.window("1d", v=df.max("v")).with_columns(v=col("v").last()), 5 + 20),
        (s.window("1d"), 5),
    ]:
        prepared = prepare(store.catalogue, Request(metric.steps, {}, JANUARY + 20 * DAY, JANUARY + 25 * DAY))
        assert len(prepared.files) == files
