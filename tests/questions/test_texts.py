"""Texts: parts, patterns, numbers and times in them, and casts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError, InexactCast
from runtime import Store
from runtime.pointfile.hashing import hash_bytes
from runtime.query.stages.word_functions import word_function
from runtime.testing.oracle.oracle_texts import first_fit

POINTS = df.stream("s")
U, N = df.col("u"), df.col("n")


def asked(folder: Path, metric: df.Stream, **columns: list[Any]) -> list[tuple[Any, ...]]:
    store = Store(folder / "store")
    rows = len(next(iter(columns.values())))
    points = {"k": ["a"] * rows, "t": list(range(rows)), **columns}
    store.ingest("s", points, key="k", time="t", unit="s", progress=False)
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    assert repr(eval(repr(metric), {"df": df})) == repr(metric)
    return [*store.query(metric)]


def test_top_domains_of_a_url(tmp_path: Path) -> None:
    domain = U.split("//", 1).split("/", 0).lower().replace("www.", "")
    metric = POINTS.group_by(domain=domain).agg(n=df.count()).sort("n", descending=True).limit(2)
    urls = ["https://www.A.org/x", "http://a.org", "https://b.org/y?z", "nothing", None]
    assert asked(tmp_path, metric.filter(df.col("domain").is_not_null()), u=urls)[:1] == [("a.org", 2)]


def test_whatever_the_case(tmp_path: Path) -> None:
    metric = POINTS.filter(U.upper() == "BUY").agg(n=df.count())
    assert asked(tmp_path, metric, u=["buy", "BUY", "Buy", "sell", None]) == [(3,)]


def test_numbers_as_they_are_written(tmp_path: Path) -> None:
    metric = POINTS.select(x=U.number(decimal=",", thousands="."))
    texts = ["1.234,56", "1234,5", "-0,5", "12.34", "1.2345", "", " 7 ", "1.234.567", ",5", "1e400"]
    found = [row[1] for row in asked(tmp_path, metric, u=texts)]
    assert found == [1234.56, 1234.5, -0.5, None, None, None, 7.0, 1234567.0, 0.5, None]


def test_times_as_they_are_written(tmp_path: Path) -> None:
    """The clock of Berlin leaves out 2:30 on 31 March 2024."""
    metric = POINTS.select(at=U.parse_time("%d.%m.%Y %H:%M", "Europe/Berlin"))
    found = asked(tmp_path, metric, u=["01.03.2024 12:00", "31.03.2024 02:30", "2024-03-01", None])
    noon = (datetime(2024, 3, 1, 11, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    assert [row[1] for row in found] == [noon * 1e6, None, None, None]


def test_what_fits_a_regular_expression(tmp_path: Path) -> None:
    e = U.extract(r"^v?([0-9]+)\.")
    metric = POINTS.select(whole=U.extract("[a-z]+"), group=e, other=U.extract("(a)|b"), number=e.cast("int64"))
    texts = ["v12.3", "7.0-rc", "b", "ba", "", "ÄÖ\n12.", None]
    found = [row[1:5] for row in asked(tmp_path, metric, u=texts)]
    assert found == [
        ("v", "12", None, 12), ("rc", "7", None, 7), ("b", None, None, None), ("ba", None, None, None),
        (None, None, None, None), (None, None, None, None), (None, None, None, None),
    ]  # fmt: skip


def test_a_pattern_is_a_parameter(tmp_path: Path) -> None:
    metric = POINTS.group_by(x=U.extract(df.param("pattern", default="[a-z]+"))).agg(n=df.count())
    store = Store(tmp_path / "store")
    store.ingest("s", {"k": ["a"] * 2, "t": [1, 2], "u": ["a1", "b1"]}, key="k", time="t", unit="s", progress=False)
    assert [*store.query(metric)] == [("a", 1), ("b", 1)]
    assert [*store.query(metric, params={"pattern": "[0-9]"})] == [("1", 2)]
    with pytest.raises(DataflowError, match="is no pattern of RE2"):
        store.query(metric, params={"pattern": "["})
    with pytest.raises(DataflowError, match="is no pattern of RE2"):
        store.query(df.from_json(metric.to_json().replace("[a-z]+", "[a-z")))
    with pytest.raises(DataflowError, match=r"expr.pattern: extract: .*is no pattern of RE2"):
        df.from_json(POINTS.select(x=U.extract("[a-z]")).to_json().replace("[a-z]", "[a-z"))


_ATOMS = st.sampled_from(["a", "b", "0", ".", "[ab]", "[^a]", "[0-9]", r"\d", r"\w", r"\s", "Ä", "^", r"\."])
_REPEATED = st.builds(
    str.__add__, _ATOMS.filter(lambda atom: atom != "^"), st.sampled_from(["*", "+", "?", "{1,2}", "*?"])
)
_PIECES = st.lists(st.one_of(_ATOMS, _REPEATED), min_size=1, max_size=3).map("".join)
_PATTERNS = st.one_of(
    _PIECES,
    st.builds("{}({}){}".format, _PIECES, _PIECES, _PIECES),
    st.builds("{}|({})".format, _PIECES, _PIECES),
    st.builds("(?:{}|{}){}".format, _PIECES, _PIECES, _PIECES),
)


@given(_PATTERNS, st.lists(st.text("ab0.Ä \n", max_size=8), max_size=5))
def test_patterns_fit_as_in_python(pattern: str, texts: list[str]) -> None:
    """By another program for regular expressions, where both know the same."""
    assert list(map(word_function("extract", {"pattern": pattern}), texts)) == [first_fit(t, pattern) for t in texts]


def test_the_time_grows_with_the_text_only() -> None:
    """A program that goes back would try 2 ** 5000 ways."""
    assert word_function("extract", {"pattern": "^(?:a|a)+b"})("a" * 5_000) is None


def test_parts_and_patterns(tmp_path: Path) -> None:
    metric = POINTS.select(
        part=U.substring(1, 2), rest=U.substring(3), last=U.split("-", -1), n=U.length(), fits=U.like(r"%\_b%_"),
        ends=U.ends_with("c"), bare=U.strip(),
    )  # fmt: skip
    found = [row[1:-1] for row in asked(tmp_path, metric, u=["a_b-c", " äöü", ""])]
    assert found == [
        ("_b", "-c", "c", 5, True, True, "a_b-c"),
        ("äö", "ü", " äöü", 4, False, False, "äöü"),
        ("", "", "", 0, False, False, ""),
    ]


def test_texts_put_together(tmp_path: Path) -> None:
    """Columns, the key, constants and functions of these; null if one is."""
    metric = POINTS.group_by(place=df.concat(df.col("k"), "/", U.upper(), "-", df.col("w"))).agg(n=df.count())
    found = asked(tmp_path, metric, u=["x", "x", "y", None], w=["1", "1", "2", "3"])
    assert sorted(found, key=str) == [("a/X-1", 2), ("a/Y-2", 1), (None, 1)]


def test_functions_of_the_key(tmp_path: Path) -> None:
    metric = POINTS.group_by(key=df.col("k").upper()).agg(n=df.count(), long=df.max(df.col("k").length()))
    assert asked(tmp_path, metric, u=["x", "y"]) == [("A", 2, 1)]


def test_casts(tmp_path: Path) -> None:
    metric = POINTS.select(
        f=N.cast("float64"), flag=(N > 1).cast("int64"), read=U.try_cast("int64"), x=U.try_cast("float64"),
        b=U.try_cast("bool"), at=U.try_cast("time"), back=N.cast("float64").cast("int64"),
    )  # fmt: skip
    found = [row[1:-1] for row in asked(tmp_path, metric, n=[1, -2, 3, 4], u=["12", "1.5", "true", "2024-03-01"])]
    assert found == [
        (1.0, 0, 12, 12.0, None, None, 1),
        (-2.0, 0, None, 1.5, None, None, -2),
        (3.0, 1, None, None, True, None, 3),
        (4.0, 1, None, None, None, 1_709_251_200_000_000, 4),
    ]


@pytest.mark.parametrize(
    ("e", "said"),
    [
        (
            N.cast("float64"),
            r"n.cast\('float64'\) for key 'a' at 1970-01-01T00:00:01.*no exact counterpart of type float64",
        ),
        (U.cast("int64"), r"u.cast\('int64'\).*write try_cast\(...\) for null there"),
        (df.col("f").cast("int64"), "no exact counterpart of type int64"),
    ],
)
def test_what_has_no_exact_counterpart(tmp_path: Path, e: df.Expr, said: str) -> None:
    with pytest.raises(InexactCast, match=said):
        asked(tmp_path, POINTS.select(x=e), n=[1, 2**53 + 1], u=["1", "1.0"], f=[1.0, 0.5])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: U.extract("("), r"extract: '\(' is no pattern of RE2.*missing \)"),
        (lambda: U.extract(r"(a)\1"), "neither references to groups nor looks ahead or behind: invalid escape"),
        (lambda: U.extract("(?=a)"), "neither references to groups nor looks ahead or behind: invalid perl"),
        (lambda: U.extract("(a)(b)"), r"has 2 groups, .*write \(\?:\.\.\.\) for the others"),
        (lambda: U.extract(""), "a pattern of 1 to 1,000 characters"),
        (lambda: U.extract("a" * 1001), "a pattern of 1 to 1,000 characters"),
        (lambda: U.extract("(?:(?:a{999}){999})"), "is no pattern of RE2"),
        (lambda: U.extract(5), "extract takes a string constant, got 5"),
        (lambda: U.extract(df.param("p", default="(")), "is no pattern of RE2"),
        (lambda: U.split("", 0), "a separator of at least one character"),
        (lambda: U.split("/", 0.5), "position in a text, got 0.5"),
        (lambda: U.substring(-1), "position in a text, got -1"),
        (lambda: U.replace("", "x"), "at least one character"),
        (lambda: U.number(decimal=".", thousands="."), "another one than thousands"),
        (lambda: U.number(decimal="x"), "not a digit or letter"),
        (lambda: U.parse_time("%Y", "Nowhere"), "Nowhere"),
        (lambda: U.cast("text"), "one of int64, float64, bool, time, got 'text'"),
        (lambda: U.cast("decimal(2)"), r"write decimal\(places\)"),
        (lambda: df.concat(), "concat takes the texts"),
    ],
)
def test_errors(wrong: Any, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        wrong()


@pytest.mark.parametrize(
    ("e", "said"),
    [
        (N.lower(), "lower cannot take int64"),
        (U + N, "string [+] int64"),
        (df.when(N > 1).then(U).otherwise("x") + U, "two texts can be put together if they are columns.*not when"),
        (df.time().cast("int64"), "cast makes int64 of .*, not of time"),
        (U.parse_time("%Q"), "no directive %Q"),
    ],
)
def test_errors_of_types(tmp_path: Path, e: df.Expr, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        asked(tmp_path, POINTS.select(x=e), n=[1], u=["x"])


def test_a_function_is_called_once_per_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows and batches; not for the words that it makes."""
    from runtime.query.stages import word_tables

    calls: list[str] = []
    plain = word_tables.word_function

    def counted(fn: str, options: Any) -> Any:
        of = plain(fn, options)
        return lambda text: calls.append(text) or of(text)  # type: ignore[func-returns-value]

    monkeypatch.setattr(word_tables, "word_function", counted)
    store = Store(tmp_path / "store")
    for day in range(3):
        at = [day * 86_400 + i for i in range(1000)]
        store.ingest("s", {"k": ["a"] * 1000, "t": at, "u": [f"a{i % 3}" for i in at]}, key="k", time="t", unit="s",
                     progress=False)  # fmt: skip
    metric = POINTS.group_by(u=U.replace("a", "aa")).agg(n=df.count())
    assert [*store.query(metric, workers=1)] == [("aa0", 1002), ("aa1", 999), ("aa2", 999)]
    assert sorted(calls) == ["a0", "a1", "a2"]


def test_a_sample_of_the_users(tmp_path: Path) -> None:
    """The hash is that of POINTFILE.md, for texts and integers; a tenth of the users are in a sample of a tenth."""
    users = [f"u{i}" for i in range(2_000)] + [None]
    with Store(tmp_path, create=True) as store:
        columns = {"k": ["a"] * 2_001, "t": list(range(2_001)), "user": users, "id": [*range(-1_000, 1_000), None]}
        store.ingest("s", columns, key="k", time="t", unit="s", progress=False)
        points, user, id = df.stream("s"), df.col("user"), df.col("id")
        found = store.query(points.select("user", "id", h=user.hash(), n=id.hash()), progress=False)
        for name, of in (("h", user), ("n", id)):
            metric = points.filter(of.hash() % 10 < 1).agg(n=df.count())
            assert df.from_json(metric.to_json()).to_json() == metric.to_json()
            ((count,),) = store.query(metric, progress=False)
            assert 140 < count < 260, name
            assert found[name][-1] is None
        for value in ("u0", "u17", "u1999"):
            hashed = hash_bytes(value.encode())
            assert found["h"][users.index(value)] % 2**64 == hashed
        for value in (-1_000, -1, 0, 999):
            assert found["n"][value + 1_000] % 2**64 == hash_bytes(value.to_bytes(8, "little", signed=True))
        with pytest.raises(df.DataflowError, match="hash cannot take time, where string or int64 is expected"):
            store.query(points.select(h=df.time().hash()), progress=False)


def test_a_hash_of_the_clock_cuts_intervals(tmp_path: Path) -> None:
    with Store(tmp_path, create=True) as store:
        points = {"k": ["a", "a"], "t": [0, 20 * 3_600], "v": ["x", "y"]}
        store.ingest("s", points, key="k", time="t", unit="s", progress=False)
        states, hour = df.stream("s").state_duration("v"), df.time().hour()
        odd = dict(store.query(states.group_by(h=hour.hash() % 2).agg(t=df.duration()), progress=False))
        hours = store.query(states.group_by(h=hour).agg(t=df.duration()), progress=False)
        expected = {0: 0, 1: 0}
        for h, time in hours:
            expected[hash_bytes(h.to_bytes(8, "little")) % 2] += time
        assert odd == expected
        assert min(expected.values()) > 0
