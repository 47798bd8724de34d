"""Metrics inside a metric: joins worked out by hand, one snapshot for all parts, proofs, errors."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.errors import QueryError
from runtime.query.parts import part_answers as answers
from runtime.query.parts import whole as parts

S = df.stream("s")
BY_SITE = S.group_by("site").agg(total=df.sum("n"), last=df.last("name"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    columns = {
        "k": ["a", "a", "b", "c", "d"], "at": [1, 2, 3, 4, 5], "site": ["x", "x", "y", None, "y"], "n": [1, 2, 3, 4, 5],
        "name": ["p", None, "q", "r", None], "temp": [0.0, -0.0, 1.5, None, 1.5], "ok": [True, False, True, None, True],
        "price": [Decimal("1.50"), Decimal("2.00"), None, Decimal("1.50"), Decimal("2.00")],
    }  # fmt: skip
    store.ingest("s", columns, key="k", time="at", unit="s", progress=False)
    store.ingest("other", {"k": ["a", "e"], "at": [0, 9], "m": [10, 50]}, key="k", time="at", unit="s", progress=False)
    return store


def ask(store: Store, metric: df.Stream, **options: Any) -> list[tuple[object, ...]]:
    return list(store.query(metric, progress=False, **options))


def values(store: Store, metric: df.Stream, *names: str) -> list[Any]:
    """Some columns of the answer, as tuples; of one its values."""
    result = store.query(metric, progress=False)
    return result[names[0]] if len(names) == 1 else list(zip(*(result[n] for n in names), strict=True))


def test_rows_with_the_columns_of_an_answer(store: Store) -> None:
    rows = S.join(BY_SITE, on="site")
    expected = [(1, 3, "p"), (2, 3, "p"), (3, 8, "q"), (4, None, None), (5, 8, "q")]
    assert values(store, rows, "n", "total", "last") == expected
    kept = S.join(BY_SITE, on="site", how="inner").agg(n=df.count())
    assert ask(store, kept) == [(4,)]
    other = df.when(df.col("site") == "x").then("y").otherwise("x")
    crossed = S.select("n", other=other).join(BY_SITE, on="other", key="site")
    assert values(store, crossed, "n", "total") == [(1, 8), (2, 8), (3, 3), (4, 3), (5, 3)]


@pytest.mark.parametrize("name", ["site", "name", "temp", "ok", "price", "n", "k", "hour"])
def test_columns_of_every_type_are_compared_as_groupings_do(store: Store, name: str) -> None:
    rows = S.with_columns(hour=df.time().truncate("1h"))
    count = df.count()
    groups = dict(ask(store, rows.group_by(name).agg(rows=count)))
    found = values(store, rows.with_columns(same=count.over(name)), name, "same")
    assert len(found) == 5
    assert all(same == groups[of] for of, same in found)
    joined = rows.join(rows.group_by(name).agg(same=count), on=name)
    assert values(store, joined, name, "same") == [(of, None if of is None else same) for of, same in found]


def test_several_columns(store: Store) -> None:
    both = S.group_by("site", "price", "ok").agg(rows=df.count())
    assert values(store, S.join(both, on=["site", "price", "ok"]), "rows") == [1, 1, None, None, 1]
    assert values(store, S.select(n=df.count().over("site", "price")), "n") == [1, 1, 1, 1, 1]
    assert values(store, S.select(n=df.count().over("site", df.col("n") > 2)), "n") == [2, 2, 2, 1, 2]
    assert values(store, S.select(n=df.sum("n").over()), "n") == [15] * 5


def test_answers_side_by_side(store: Store) -> None:
    a, b = S.group_by("k").agg(n=df.sum("n")), df.stream("other").group_by("k").agg(m=df.sum("m"))
    assert ask(store, df.join(a, b, on="k")) == [
        ("a", 3, 10), ("b", 3, None), ("c", 4, None), ("d", 5, None), ("e", None, 50)
    ]  # fmt: skip
    assert ask(store, df.join(a, b, on="k", how="left").filter(df.col("m").is_not_null())) == [("a", 3, 10)]
    assert ask(store, df.join(b, a, on="k", how="inner")) == [("a", 10, 3)]
    three = df.join(a, b, a, on="k", suffix="_too").select("k", sum=df.col("n") + df.col("n_too"))
    assert ask(store, three.sort("sum", descending=True).limit(2)) == [("d", 10), ("c", 8)]
    again = df.join(a, b, on="k").group_by("n").agg(keys=df.count(), m=df.sum("m"))
    assert ask(store, again) == [(None, 1, 50), (3, 2, 10), (4, 1, None), (5, 1, None)]


def test_null_is_a_group_of_both_answers_and_the_first_may_have_more_rows(store: Store) -> None:
    fine, coarse = S.group_by("site", "k").agg(n=df.sum("n")), S.group_by("site").agg(total=df.sum("n"))
    assert ask(store, df.join(fine, coarse, on="site")) == [
        (None, "c", 4, 4), ("x", "a", 3, 3), ("y", "b", 3, 8), ("y", "d", 5, 8)
    ]  # fmt: skip
    with pytest.raises(df.DataflowError, match=r'df\.join.*several rows with site = "y"; join on all the columns'):
        store.query(df.join(coarse, fine, on="site"), progress=False)


def test_a_table_beside_an_answer_that_cannot_be(store: Store) -> None:
    answer = S.group_by("site").agg(n=df.sum("n"))
    several = df.table({"site": ["x", "x"], "owner": ["p", "q"]})
    with pytest.raises(df.DataflowError, match='the reference table has several rows with site = "x"; join on more'):
        store.query(df.join(answer, several, on="site"), progress=False)
    late = df.table({"site": ["x"], "since": [datetime(3000, 1, 1, tzinfo=UTC)]})
    with pytest.raises(df.DataflowError, match=r"df\.join.*the column 'since' of a reference table.*3000"):
        store.query(df.join(answer, late, on="site"), progress=False)


def test_one_range_for_all(store: Store) -> None:
    extent = df.min(df.time()), df.max(df.time())
    a = S.group_by("k").agg(first=extent[0])
    whole = store.query(df.join(a, df.stream("other").group_by("k").agg(last=extent[1]), on="k"), progress=False)
    assert {(p.since, p.until) for p in (whole.proof, whole.proof.parts[0].proof)} == {(0, 9_000_001)}
    cut = df.join(a, df.stream("other").group_by("k").agg(last=extent[1]), on="k")
    second = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=2)
    assert [row[0] for row in ask(store, cut, since=second)] == ["a", "b", "c", "d", "e"]
    assert [row[0] for row in ask(store, cut, until=second)] == ["a"]


def test_parameters_reach_inside(store: Store) -> None:
    least = df.param("least", default=2)
    some = S.filter(df.col("n") >= least).group_by("k").agg(some=df.sum("n"))
    metric = df.join(S.group_by("k").agg(n=df.sum("n")), some, on="k")
    assert [row[2] for row in ask(store, metric)] == [2, 3, 4, 5]
    assert [row[2] for row in ask(store, metric, params={"least": 4})] == [None, None, 4, 5]
    with pytest.raises(df.DataflowError, match=r"no parameter 'lest'; did you mean 'least'"):
        store.query(metric, params={"lest": 4}, progress=False)


def test_a_commit_between_the_parts_is_seen_by_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = S.join(S.group_by("k").agg(total=df.sum("n")), on="k").agg(n=df.sum("n"), total=df.max("total"))
    before = ask(store, metric)
    made = answers.answer_of

    def and_more(result: Any, where: str) -> Any:
        store.ingest("s", {"k": ["d"], "at": [6], "n": [1000]}, key="k", time="at", unit="s", progress=False)
        return made(result, where)

    monkeypatch.setattr(parts, "answer_of", and_more)
    assert ask(store, metric) == before
    monkeypatch.undo()
    assert ask(store, metric) == [(1015, 1005)]


def test_the_proof_names_the_parts_and_depends_on_them(store: Store) -> None:
    metric = S.join(BY_SITE, on="site").agg(n=df.count())
    first = store.query(metric, progress=False)
    (part,) = first.proof.parts
    assert (part.step, part.proof.stream, part.proof.complete) == ("step 2 (join)", "s", True)
    assert first.proof.to_dict()["parts"][0]["proof"]["rows_scanned"] == 5  # type: ignore[index]
    half = store.query(metric, progress=False, until=datetime(1970, 1, 1, 0, 0, 4, tzinfo=UTC))
    assert half.proof.plan != first.proof.plan
    assert half.proof.parts[0].proof.result != part.proof.result
    assert store.query(metric, progress=False).proof.result == first.proof.result


def test_explain_shows_the_parts_and_drills_into_rows_with_joined_columns(store: Store) -> None:
    metric = S.join(BY_SITE, on="site").filter(df.col("n") > df.col("total") / 2).group_by("site").agg(n=df.count())
    text = metric.explain(store)
    assert "total, last by site" in text
    assert "the metric in step 2 (join), which runs first\n  stream s at commit 1" in text
    found = store.query(metric, progress=False)
    assert list(found) == [("x", 1), ("y", 1)]
    behind = found.explain({"site": "y"})
    assert (behind.total, behind.keys, behind.rows["k"], len(behind.files)) == (1, 1, ["d"], 1)
    both = store.query(df.join(BY_SITE, metric, on="site"), progress=False)
    with pytest.raises(QueryError, match=r"rows are made of several answers \(df\.join\): query each"):
        both.explain(0)


def test_steps_are_counted_as_they_are_written(store: Store) -> None:
    metric = S.filter(df.count().over("site") > 1).select(x=df.col("nobody"))
    with pytest.raises(
        df.DataflowError, match=r"step 3 \(select\): there is no column 'nobody'.* columns: at, k, n, name"
    ):
        store.query(metric, progress=False)


def test_aggregates_beside_rows_are_hidden(store: Store) -> None:
    result = store.query(S.filter(df.count().over("site") > 1), progress=False)
    assert list(result.columns) == ["k", "site", "n", "name", "temp", "ok", "price", "at"]
    assert len(result) == 4


def test_aggregates_in_parts_of_timelines(store: Store) -> None:
    often = S.filter(df.count().over("k") > 1).state_duration(df.col("ok"), name="ok")
    assert {row[0] for row in ask(store, often & S.heartbeat("1h"))} == {"a", "b", "c", "d"}
    joined = S.join(BY_SITE, on="site").state_duration(df.col("total") > 3, name="big")
    states = ask(store, (joined | ~joined).group_by("k", "state").agg(n=df.count()))
    assert states == [("a", True, 1), ("b", True, 1), ("c", None, 1), ("d", True, 1)]


def test_metrics_inside_metrics_inside_metrics(store: Store) -> None:
    least = S.group_by("k").agg(least=df.min("n"))
    inner = S.join(least, on="k").group_by("site").agg(sum=df.sum("least"))
    assert ask(store, S.join(inner, on="site").group_by("site").agg(s=df.max("sum"))) == [
        (None, None), ("x", 2), ("y", 8)
    ]  # fmt: skip
    deep = least
    for i in range(5):
        deep = S.join(deep, on="k").group_by("k").agg(**{f"n{i}": df.count()})
    with pytest.raises(df.DataflowError, match="at most 4 deep"):
        df.from_json(deep.to_json())


@pytest.mark.parametrize(
    ("metric", "error"),
    [
        (S.join(BY_SITE, on="n", key="site"), r"step 2 \(join\): on: the answer's 'site' is string.*int64"),
        (S.join(BY_SITE, on="site", key="sight"), r"step 2 \(join\).*no column 'sight'"),
        (
            S.join(S.group_by("k").agg(n=df.count()), on="k"),
            r"already a column 'n'; rename it in the metric, or set su",
        ),
        (S.join(S.group_by("site", "k").agg(x=df.count()), on="site"), r'several rows with site = "y"'),
        (
            S.join(S.group_by("sit").agg(x=df.count()), on="site"),
            r"step 2 \(join\), in its metric: step 2 \(group_by\)",
        ),
        (
            S.select(r=df.sum("n").over("site", order="at")),
            r"step 2 \(select\): .* is for the rows of a finished table",
        ),
        (S.select(r=df.col("n").rank()), r"step 2 \(select\): .* is for the rows of a finished table"),
        (df.join(BY_SITE, BY_SITE, on="site"), r"df\.join\): there is already a column 'total'"),
        (df.join(BY_SITE, BY_SITE, on="k"), r"df\.join\): there is no column 'k'"),
        (df.join(BY_SITE, df.stream("nobody").agg(n=df.count()), on="site"), r"no stream 'nobody'"),
    ],
)
def test_what_does_not_fit(store: Store, metric: df.Stream, error: str) -> None:
    with pytest.raises(df.DataflowError, match=error):
        store.query(metric, progress=False)


def test_an_answer_that_is_too_large(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MAX_ANSWER_ROWS", 2)
    with pytest.raises(
        QueryError, match=r"step 2 \(join\): the answer of its metric has 3 rows, and may have 2: group"
    ):
        store.query(S.join(BY_SITE, on="site"), progress=False)


def test_the_lines_below_say_what_every_stream_lacks(store: Store, tmp_path: Path) -> None:
    (tmp_path / "more.ndjson").write_text('{"k": "a", "at": 3, "m": 1}\n{"k": "a", "at": "rubbish", "m": 2}\n')
    store.ingest("other", tmp_path / "more.ndjson", key="k", time="at", unit="s", progress=False)
    inner = df.stream("other").group_by("k").agg(m=df.sum("m"))
    twice = df.join(S.group_by("k").agg(n=df.sum("n")), inner, on="k").join(inner, on="k", suffix="_2")
    shown = " ".join(str(store.query(twice, progress=False)).split())
    span = "1970-01-01 00:00 to 1970-01-01 00:00:09.000001 UTC"
    assert shown.endswith(
        f"rows s, {span}: 5 rows read, none rejected "
        f"other, {span}: 3 rows read, 1 rejected at ingest in the whole stream"
    )


def test_a_result_is_a_reference_table(store: Store) -> None:
    totals = S.group_by("site").agg(
        total=df.sum("n"), first=df.min(df.time()), paid=df.sum("price"), on=df.mean("temp")
    )
    result = store.query(totals.filter(df.col("site").is_not_null()), progress=False)
    table = df.table(result)
    assert [(n, str(t), v) for n, t, v in table.columns] == [
        ("site", "string", ("x", "y")), ("total", "int64", (3, 8)), ("first", "time", (1_000_000, 3_000_000)),
        ("paid", "decimal(2)", (350, 200)), ("on", "float64", (0.0, 1.5)),
    ]  # fmt: skip
    joined = S.select("n", "site").join(table, on="site")
    assert values(store, joined, "total", "paid") == [
        (3, Decimal("3.50")), (3, Decimal("3.50")), (8, Decimal("2.00")), (None, None), (8, Decimal("2.00"))
    ]  # fmt: skip
    assert df.from_json(joined.to_json()).to_json() == joined.to_json()
    with pytest.raises(df.DataflowError, match="takes no options"):
        df.table(result, delimiter=";")
    with pytest.raises(df.DataflowError, match=r"column 'h' is json"):
        df.table(store.query(S.agg(h=df.top_k("k", 2)), progress=False))


def test_hidden_columns_are_explained_by_what_they_hold(store: Store) -> None:
    away = df.col("n") - df.mean("n").over("site", df.col("n") > 1)
    beside = store.explain(S.with_columns(away=away).agg(most=df.max("away")))
    assert 'looked up\n  df.mean("n") by site, df.col("n") > 1\n' in beside
    assert 'df.mean("n") = mean: exact' in beside
    before = df.mean(df.col("total").previous(order="site")).over("last")
    nested = store.explain(BY_SITE.with_columns(before=before + 1))
    assert '  then df.mean(df.col("total").previous(order="site")) beside each row per last\n' in nested
    assert "$" not in (beside + nested).replace("$0", "")  # $0 is what it costs
