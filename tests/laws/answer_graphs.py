"""Metrics that take the answers of others: joins with metrics, answers side by side, aggregates beside rows."""

from __future__ import annotations

from tests.laws import builders as b

_STREAM = {"op": "stream", "name": "s"}


def _over(aggregate: b.Json, *per: b.Json) -> b.Json:
    return {"over": aggregate, **({"per": list(per)} if per else {})}


def _join(metric: list[b.Json], on: list[b.Json], how: str = "left", **options: str) -> b.Json:
    return {"op": "join_metric", "metric": [_STREAM, *metric], "on": on, "how": how, **options}


def _periods(metric: list[b.Json], on: b.Json, key: str, how: str = "left", **bounds: str | None) -> b.Json:
    limits = {n: v for n, v in {"valid_from": "start", "valid_to": "end", **bounds}.items() if v is not None}
    return {"op": "join_periods", "metric": [_STREAM, *metric], "on": on, "key": key, "how": how, **limits}


def _beside(metric: list[b.Json], *on: str, how: str = "full", **options: str) -> b.Json:
    return {"op": "side_by_side", "metric": [_STREAM, *metric], "on": list(on), "how": how, **options}


_REGISTRY = {
    "columns": [
        {"name": "device", "type": "string", "values": ["a", "z", "b", "c"]},
        {"name": "status", "type": "string", "values": ["up", None, "down", "up"]},
        {"name": "rank", "type": "int64", "values": [3, 1, None, 2]},
        {"name": "share", "type": "float64", "values": [0.5, None, -1.0, 2.0]},
        {"name": "since", "type": "time", "values": [0, 86_400_000_000, None, 1]},
    ]
}


def _registry(*on: str, how: str = "full") -> b.Json:
    return {"op": "beside_table", "table": _REGISTRY, "on": list(on), "how": how}


_BY_STATUS = b.group(b.BY_STATUS, low=b.agg("min", b.TEMP), most=b.agg("max", b.N), kinds=b.agg("max", b.FIRMWARE))
_BY_BOTH = b.group(b.named(status=b.STATUS, temp=b.TEMP, ok=b.OK), same=b.ROWS)
_UP_TIME = [b.states(b.STATUS), b.group(b.BY_DEVICE, up=b.agg("share_of_time", b.UP))]
_PIECES = [b.where(b.OK), b.group(b.BY_DEVICE, pieces=b.agg("count"), last=b.agg("last", b.FIRMWARE))]

ANSWER_GRAPHS: dict[str, b.Json] = {
    "joined_with_a_metric": b.graph(_join([_BY_STATUS], b.BY_STATUS), b.where(b.fn("is_not_null", b.col("low")))),
    "joined_with_several_columns": b.graph(
        _join([_BY_BOTH], b.named(status=b.STATUS, temp=b.TEMP, ok=b.OK), how="inner"),
        b.group(b.named(same=b.col("same")), rows=b.ROWS),
    ),
    "joined_groups": b.graph(
        b.group(b.BY_STATUS, low=b.agg("max", b.TEMP)),
        _join([_BY_STATUS], b.named(status=b.STATUS), suffix="_again"),
    ),
    "joined_intervals": b.graph(
        b.states(b.STATUS),
        _join([_BY_STATUS], b.BY_STATUS),
        b.group(b.named(most=b.col("most")), time=b.agg("duration"), device=b.agg("count_distinct", b.DEVICE)),
    ),
    "points_in_periods": b.graph(
        _periods([b.states(b.STATUS, "was")], b.DEVICE, "device"),
        b.group(b.named(was=b.col("was"), status=b.STATUS), rows=b.ROWS),
    ),
    "periods_of_another_column": b.graph(
        _periods(
            [b.group(b.named(status=b.STATUS), first=b.agg("min", b.fn("time")), most=b.agg("max", b.N))],
            b.STATUS, "status", how="inner", valid_from="first", valid_to=None,
        ),
        b.group(b.BY_DEVICE, most=b.agg("sum", b.col("most")), rows=b.ROWS),
    ),
    "intervals_in_periods": b.graph(
        b.states(b.OK),
        _periods([b.states(b.STATUS, "was")], b.DEVICE, "device"),
        b.group(b.named(was=b.col("was")), time=b.agg("duration"), pieces=b.agg("count")),
    ),
    "answers_side_by_side": b.graph(*_UP_TIME, _beside(_PIECES, "device")),
    "answers_of_one": b.graph(*_UP_TIME, _beside(_PIECES, "device", how="left")),
    "answers_beside_a_table": b.graph(*_UP_TIME, _registry("device")),
    "what_a_table_has": b.graph(
        b.group(b.named(status=b.STATUS, device=b.DEVICE), rows=b.ROWS),
        _registry("device", "status", how="inner"),
        b.where(b.fn("is_not_null", b.col("rank"))),
    ),
    "answers_of_both": b.graph(
        b.group(b.named(status=b.STATUS, ok=b.OK), rows=b.ROWS),
        _beside([b.where(b.OK), b.group(b.named(ok=b.OK, status=b.STATUS), rows=b.ROWS)], "status", "ok", how="inner",
                suffix="_ok"),
        b.sort(("rows", True)),
    ),
    "groups_of_answers": b.graph(
        b.group(b.named(status=b.STATUS, device=b.DEVICE), rows=b.ROWS),
        _beside([b.group(b.BY_STATUS, low=b.agg("min", b.TEMP))], "status"),
        b.group(b.named(low=b.col("low")), rows=b.agg("sum", b.col("rows")), n=b.agg("count")),
    ),
    "distance_from_the_mean": b.graph(
        b.extend(
            z=b.fn("div", b.fn("sub", b.TEMP, _over(b.agg("mean", b.TEMP), b.DEVICE)),
                   _over(b.agg("stddev", b.TEMP, ddof=1), b.DEVICE)),
            share=b.fn("div", b.TEMP, _over(b.agg("sum", b.TEMP))),
        )
    ),
    "rows_of_keys_that_ever": b.graph(
        b.where(_over(b.agg("any_true", b.UP), b.DEVICE)), b.states(b.STATUS, hold=None),
        b.group(b.BY_DEVICE, time=b.agg("duration"), up=b.agg("duration", where=b.UP)),
    ),
    "aggregates_of_rows_above_the_mean": b.graph(
        b.group(
            b.named(often=b.fn("gt", _over(b.agg("count"), b.FIRMWARE, b.OK), b.lit(1))),
            rows=b.ROWS,
            warm=b.agg("count", where=b.fn("gt", b.TEMP, _over(b.agg("mean", b.TEMP), b.STATUS))),
        )
    ),
    "twice_over": b.graph(
        b.where(b.fn("ge", b.TEMP, _over(b.agg("mean", b.TEMP)))),
        b.extend(rest=_over(b.agg("count"), b.STATUS), firmware=_over(b.agg("max", b.FIRMWARE), b.TEMP)),
    ),
    "intervals_of_long_states": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("eq", b.col("duration"), _over(b.agg("max", b.col("duration")), b.DEVICE))),
    ),
}  # fmt: skip
