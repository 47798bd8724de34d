"""Funnels with exclusions, windows per step, entries, sessions and all attempts: errors, JSON and state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import dataflow as df
from dataflow.kernels.generate import generate
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from dataflow.steps.funnels.climb import Climb
from operators.types import Type

STREAM = StreamColumns("user", Type.STRING, "ts", {"what": Type.STRING, "n": Type.INT, "ok": Type.BOOL})
P = df.stream("t")
VIEW, CART, BUY = STEPS = [df.col("what") == word for word in ("view", "cart", "buy")]
OK, N = df.col("ok"), df.count()

METRICS = {
    "excluded": P.funnel(STEPS, "1h", exclude={OK: (1, 2), df.col("n") > 3: (2, 3)}),
    "windows": P.funnel(STEPS, ["5m", "1h30m"]),
    "any order": P.funnel(STEPS, "1h", "any_order", exclude=[(OK, (1, 3))]),
    "entries": P.funnel(STEPS, "1h", every="1d", zone="Europe/London").group_by("entry").agg(n=N),
    "all": P.funnel(STEPS, "1h", count="all"),
    "sessions": P.funnel(STEPS, "1h", per="session", gap="30m"),
    "table": P.funnel(STEPS, "1h").filter(df.col("steps") > 1).funnel_table("ok", odd=df.col("n") % 2),
    "table in any order": P.funnel(STEPS, "1h", "any_order").funnel_table(),
    "sessions at once": P.sessionize("30m").concurrent(True, "ok"),
}


@pytest.mark.parametrize("name", METRICS)
def test_round_trip(name: str) -> None:
    metric = METRICS[name]
    text = metric.to_json()
    assert df.from_json(text).to_json() == text
    assert repr(eval(repr(metric), {"df": df})) == repr(metric) == repr(df.from_json(text))
    bind(df.from_json(text).steps, STREAM)


def test_what_is_not_said_is_not_written() -> None:
    def fields(metric: df.Stream) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(metric.to_json())["steps"][1]
        return {n: v for n, v in found.items() if n not in ("op", "steps")}

    assert fields(P.funnel(STEPS, "1h")) == {"within": 3_600_000_000, "mode": "strict"}
    assert fields(METRICS["windows"]) == {"within": [300_000_000, 5_400_000_000], "mode": "strict"}
    assert fields(METRICS["sessions"])["gap"] == 1_800_000_000
    assert fields(METRICS["any order"])["exclude"] == [{"where": {"col": "ok"}, "after": 1, "before": 3}]
    assert set(fields(METRICS["entries"])) == {"within", "mode", "every", "zone"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.funnel(STEPS, "1h", mode="lax"), "mode is one of strict, ordered, any, any_order, got 'lax'"),
        (lambda: P.funnel(STEPS, ["5m"]), "a window for each step after the first, 2 for 3 steps, .* got 1"),
        (lambda: P.funnel(STEPS, ["5m", 3]), r"funnel\(within\): 3 is not a duration"),
        (lambda: P.funnel(STEPS, ["5m", "1h"], "any_order"), "within is one length"),
        (lambda: P.funnel(STEPS, "1h", exclude={OK: (2, 2)}), r"two steps of 1 to 3, the earlier first.* \(2, 2\)"),
        (lambda: P.funnel(STEPS, "1h", exclude={OK: (1, 4)}), r"two steps of 1 to 3.* got \(1, 4\)"),
        (lambda: P.funnel(STEPS, "1h", exclude={OK: 1}), "the numbers of two steps"),
        (lambda: P.funnel(STEPS, "1h", exclude=OK), r"exclude takes \{condition: \(1, 2\)\}"),
        (lambda: P.funnel(STEPS, "1h", "any_order", exclude={OK: (1, 2)}), r"the last only: \(1, 3\); got \(1, 2\)"),
        (lambda: P.funnel(STEPS, "1h", every="daily"), r"funnel\(every\): 'daily' is not a bucket"),
        (lambda: P.funnel(STEPS, "1h", zone="Europe/London"), "zone is that of the buckets of every="),
        (lambda: P.funnel(STEPS, "1h", every="1d", count="all"), r"group them by df.time\(\).truncate"),
        (lambda: P.funnel(STEPS, "1h", every="1d", per="session", gap="5m"), "per='session' has a row for each"),
        (lambda: P.funnel(STEPS, "1h", count="some"), "count is 'keys' or 'all', got 'some'"),
        (lambda: P.funnel(STEPS, "1h", per="visit"), "per is 'session', got 'visit'"),
        (lambda: P.funnel(STEPS, "1h", per="session"), "give per='session' and gap= together"),
        (lambda: P.funnel(STEPS, "1h", gap="30m"), "give per='session' and gap= together"),
        (lambda: P.funnel_table(), "use it after .funnel"),
        (lambda: P.funnel(STEPS, "1h", count="all").funnel_table(), "has only attempts that met all steps"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            P.funnel(STEPS, "1h", exclude={df.col("n"): (1, 2)}),
            "exclusion 1 of the funnel takes a condition",
        ),
        (P.funnel(STEPS, "1h", every="1d", zone="Mars/Base"), "there is no time zone 'Mars/Base'"),
        (P.funnel(STEPS, "30d", every="1m"), "attempts of 43,202 buckets of '1m' may be open at once; at most 1,000"),
        (P.funnel(STEPS, "1h").select("steps").sort("steps").funnel_table(), "it needs the rows of a funnel"),
        (P.funnel(STEPS, "1h").funnel_table(keys=OK), "a group column cannot be named 'keys'"),
        (P.window("1h").concurrent(True), "it needs the intervals of keys, or sessions"),
        (P.sessionize("1h").concurrent(df.col("count")), "it takes a condition, got int64"),
    ],
)
def test_mistakes_of_the_stream(metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric.steps, STREAM)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("windows", {"within": [1, 0]}, r"steps\[1\].within\[1\]: expected positive microseconds"),
        ("windows", {"within": [1]}, r"steps\[1\]: within has a window for each step"),
        ("excluded", {"exclude": [{"where": {"col": "ok"}, "after": 1}]}, "the field 'before' is missing"),
        ("excluded", {"exclude": [{"where": {"col": "ok"}, "after": 3, "before": 1}]}, "the earlier first"),
        ("entries", {"every": None}, "expected a text"),
        ("sessions", {"gap": None}, "expected positive microseconds"),
        ("all", {"count": 1}, "expected a text"),
    ],
)
def test_json_that_is_refused(name: str, change: dict[str, Any], message: str) -> None:
    d = json.loads(METRICS[name].to_json())
    d["steps"][1] |= change
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(d))


def state(metric: df.Stream) -> int:
    """The values that the metric's first kernel keeps for every key."""
    step = generate(bind(metric.steps, STREAM).stages[0]).step
    return sum(int(str(a.subject[1])) if len(a.subject) > 1 else 1 for a in step.args if a.role == "slot")


def test_the_state_is_constant() -> None:
    """Nothing of it grows with the rows: chains, or windows of any order, once for every bucket that may be open."""
    plain = state(P.funnel(STEPS, "1h"))
    # Top, moment, what it met; and 1 + 2 + 3 times.
    assert plain == 3 + 6
    assert state(METRICS["excluded"]) == plain + 2  # Whether the attempts at steps 1 and 2 are over.
    assert state(METRICS["windows"]) == state(METRICS["all"]) == plain
    assert state(METRICS["sessions"]) == plain + 2  # Whether there was a row, and when.
    # In an hour and 31 days there are parts of at most 33 days: top, times and firsts in each; which of them are open.
    days = P.funnel(STEPS, "745h", every="1d")
    assert state(days) == 2 + 3 + 33 * 7
    any_order = state(METRICS["table in any order"])
    assert any_order == 2 + 3 + 3 * 3 + 3 * 3


def test_only_what_is_used_is_kept() -> None:
    def sink(metric: df.Stream) -> Climb:
        found = bind(metric.steps, STREAM).stages[0].sink
        assert isinstance(found, Climb)
        return found

    plain = sink(P.funnel(STEPS, "1h", "any_order").group_by("steps").agg(n=N))
    assert (plain.times, plain.reached, plain.held) == ((), (), ())
    assert sink(METRICS["table in any order"]).reached == (2, 3)
    assert bind(METRICS["entries"].steps, STREAM).history == 0


def test_constants_are_arguments() -> None:
    """Funnels with other exclusions and lengths share their kernels."""

    def source(metric: df.Stream) -> str:
        return generate(bind(metric.steps, STREAM).stages[0]).source

    first = P.funnel([VIEW, CART], ["1h"], exclude={BUY: (1, 2)})
    assert source(first) == source(P.funnel([CART, VIEW], ["2h"], exclude={df.col("what") == "back": (1, 2)}))
    assert source(P.funnel(STEPS, "1h", per="session", gap="1m")) == source(METRICS["sessions"])
