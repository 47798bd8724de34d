"""Answers over compacted, overlapping and long files equal those over plain rows, bit for bit."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.types import Type
from runtime import Store
from runtime.catalogue import StreamSchema
from runtime.query.plan import make_tasks
from runtime.query.scan import merge_rows
from tests.runtime.query.scan.compacted_files import Row, compact, ingest, resolved, rows_of

DAY = 86_400_000_000
HOUR = 3_600_000_000

P = df.stream("s")
METRICS = {
    "sums": P.group_by("t", day=df.time().truncate("1d")).agg(n=df.count(), total=df.sum("x"), low=df.min("n")),
    "keys": P.group_by("k").agg(n=df.count(), total=df.sum("x")),
    "ends": P.group_by("t").agg(first=df.first("x"), last=df.last("n"), candle=df.candlestick("x")),
    "held": P.with_columns(seen=df.col("x").last(), before=df.col("n").previous())
    .group_by("seen", "before").agg(n=df.count()),
    "states": P.state_duration("t", hold="5h").group_by("t", "k").agg(up=df.known_time(), n=df.count()),
    "sessions": P.sessionize("2h", heat=df.sum("x"), n=df.count()),
    "rows": P.with_columns(before=df.col("x").previous(), changed=df.col("t").changed()),
}  # fmt: skip

POLICIES = [(p, i) for p in ("keep", "exact", "latest") for i in (None, "id")]

ROWS = st.builds(
    Row,
    st.sampled_from(["a", "a", "a", "b", "c"]),
    st.builds(
        lambda day, at: day * DAY + at * HOUR, st.sampled_from([-2, -1, 0, 1, 3]), st.sampled_from([0, 7, 8, 23])
    ),
    st.just(0),
    st.fixed_dictionaries(
        {
            "x": st.sampled_from([None, 0.5, 1.5, -0.0, 1e9]),
            "n": st.sampled_from([None, 1, 2]),
            "t": st.sampled_from([None, "up", "down"]),
            "id": st.sampled_from([None, "i", "j"]),
        }
    ),
)


@st.composite
def stores(draw: st.DrawFn) -> dict[str, Any]:
    """Sources, which of their files are compacted, in which steps, and a range."""
    since = draw(st.sampled_from([None, None, -DAY, -DAY + 8 * HOUR, 7 * HOUR, DAY]))
    until = draw(st.sampled_from([None, None, 8 * HOUR, 2 * DAY, 3 * DAY + 9 * HOUR]))
    return {
        "policy": draw(st.sampled_from(POLICIES)),
        "sources": draw(st.lists(st.lists(ROWS, min_size=1, max_size=12), min_size=2, max_size=7)),
        "steps": draw(
            st.lists(
                st.tuples(st.integers(0, 2**12), st.sampled_from([0, DAY, 2 * DAY, 400 * DAY]), st.booleans()),
                min_size=1,
                max_size=2,
            )
        ),
        "since": since,
        "until": until if since is None or until is None or since < until else None,
        "workers": draw(st.sampled_from([1, 3])),
    }


@pytest.fixture(scope="module", autouse=True)
def in_small() -> Iterator[None]:
    """Small tasks, and windows of few rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_tasks, "_SMALL", 5)
        patch.setattr(merge_rows, "FEWEST", 6)
        patch.setattr(merge_rows, "MOST", 20)
        yield


COLUMNS = {"x": Type.FLOAT, "n": Type.INT, "t": Type.STRING, "id": Type.STRING}


def new_store(folder: Path, sources: list[list[Row]], policy: str, id_column: str | None) -> Store:
    store = Store(folder, create=True)
    schema = StreamSchema("k", Type.STRING, "ts", COLUMNS, policy, id_column)
    for rows in sources:
        ingest(store, schema, rows)
    return store


def per_key(store: Store, **span: Any) -> dict[str, list[tuple[Any, ...]]]:
    """The exported points of each key, in their order."""
    out = io.BytesIO()
    store.export("s", out, format="ndjson", progress=False, **span)
    found: dict[str, list[tuple[Any, ...]]] = {}
    for line in out.getvalue().splitlines():
        row = json.loads(line)
        found.setdefault(row["k"], []).append(tuple(row.get(n) for n in ("ts", "x", "n", "t", "id")))
    return found


def answers(store: Store, workers: int, since: int | None, until: int | None) -> dict[str, Any]:
    span = {"since": _moment(since), "until": _moment(until)}
    out: dict[str, Any] = {}
    for name, metric in METRICS.items():
        result = store.query(metric, workers=workers, progress=False, **span)  # type: ignore[arg-type]
        proof = result.proof.to_dict()
        assert proof["complete"] is True
        out[name] = proof["result"]
    out["export"] = per_key(store, **span)
    # The order of points of one key and time is that of their commits.
    out["head"] = [list(c.to_list()) for c in store.head("s", 7, since=span["since"]).columns.values()]
    return out


def _moment(t: int | None) -> str | None:
    from datetime import UTC, datetime, timedelta

    return None if t is None else (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=t)).isoformat()


@settings(max_examples=max(10, settings().max_examples // 4))
@given(stores())
def test_compacted_files_answer_as_the_rows_do(drawn: dict[str, Any]) -> None:
    policy, id_column = drawn["policy"]
    # A range without an end ends with the stream's last row, which may be a repeat that counts nowhere.
    asked = drawn["workers"], drawn["since"], drawn["until"] or 5 * DAY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with new_store(folder / "raw", drawn["sources"], policy, id_column) as store:
            raw = answers(store, *asked)
            rows = [r for f in store.catalogue.snapshot("s").files for r in rows_of(f, store.open_file(f))]
            for chosen, width, by_key in drawn["steps"]:
                files = store.catalogue.snapshot("s").files
                gone = [f for n, f in enumerate(sorted(files, key=lambda f: (f.seq, f.ordinal))) if chosen >> n & 1]
                if gone:
                    compact(store, gone, lambda r, w=width, k=by_key: (w and r.time // w, k and r.key == "a"))
            files = store.catalogue.snapshot("s").files
            event(f"repeats {any(f.repeats for f in files)}, days {max(f.days for f in files) > 1}")
            assert answers(store, *asked) == raw
        plain = resolved(rows, policy, id_column)
        with new_store(folder / "plain", [plain], "keep", None) as store:
            assert raw == answers(store, *asked)
