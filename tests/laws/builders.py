"""Short builders of canonical JSON: expressions, aggregates and steps."""

from __future__ import annotations

from typing import Any

from runtime.testing.oracle.strategies import GAP, HOUR

Json = dict[str, Any]


def col(name: str) -> Json:
    return {"col": name}


def lit(value: Any, kind: str | None = None) -> Json:
    names: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return {"lit": value, "type": kind or names[type(value)]}


def fn(name: str, *args: Json, **options: Any) -> Json:
    return {"fn": name, "args": list(args), **options}


def agg(name: str, *args: Json, where: Json | None = None, **options: Any) -> Json:
    return {"fn": name, "args": list(args), "where": where, **options}


def named(**exprs: Json) -> list[Json]:
    return [{"name": name, "expr": expr} for name, expr in exprs.items()]


def aggs(**parts: Json) -> list[Json]:
    return [{"name": name, "agg": part} for name, part in parts.items()]


def graph(*steps: Json) -> Json:
    return {"antfold": 1, "steps": [{"op": "stream", "name": "s"}, *steps]}


def where(expr: Json) -> Json:
    return {"op": "filter", "where": expr}


def extend(**exprs: Json) -> Json:
    return {"op": "with_columns", "columns": named(**exprs)}


def select(**exprs: Json) -> Json:
    return {"op": "select", "columns": named(**exprs)}


def group(by: list[Json], **parts: Json) -> Json:
    return {"op": "group_by", "by": by, "aggs": aggs(**parts)}


def states(expr: Json, name: str = "status", hold: int | None = GAP) -> Json:
    return {"op": "state_duration", "state": expr, "name": name, "hold": hold}


def beats(timeout: int = GAP) -> Json:
    return {"op": "heartbeat", "timeout": timeout}


def sessions(gap: int = GAP, max_length: int | None = None, split: Json | None = None, **parts: Json) -> Json:
    step = {"op": "sessionize", "gap": gap, "max_length": max_length, "aggs": aggs(**parts)}
    return step if split is None else step | {"split_when": split}


def windows(every: str, zone: str = "UTC", size: int = 1, empty: bool = False, **parts: Json) -> Json:
    step: Json = {"op": "window", "every": every, "zone": zone, "aggs": aggs(**parts)}
    return step | ({"size": size} if size > 1 else {}) | ({"empty": True} if empty else {})


def funnel(*steps: Json, within: int = HOUR, mode: str = "strict") -> Json:
    return {"op": "funnel", "steps": list(steps), "within": within, "mode": mode}


def cohorts(start: Json, returns: Json, every: str = "1d", zone: str = "UTC") -> Json:
    return {"op": "cohorts", "start": start, "returns": returns, "every": every, "zone": zone}


def transitions(of: Json, gap: int | None = GAP) -> Json:
    return {"op": "transitions", "of": of, "gap": gap}


def match(pattern: str, within: int | None = None, **conditions: Json) -> Json:
    return {"op": "match", "pattern": pattern, "conditions": named(**conditions), "within": within}


def sequence(of: Json, length: int = 100) -> Json:
    return {"op": "sequence", "of": of} | ({"length": length} if length != 100 else {})


def subpaths(of: Json, length: int = 3, gap: int | None = GAP, **edges: Json) -> Json:
    return {"op": "subpaths", "of": of, "length": length, "gap": gap, **edges}


def activity(every: str = "1d", zone: str = "UTC") -> Json:
    return {"op": "activity", "every": every, "zone": zone}


def dedupe(of: Json, within: int = GAP) -> Json:
    return {"op": "dedupe", "of": of, "within": within}


def sort(*by: tuple[str, bool]) -> Json:
    return {"op": "sort", "by": [{"column": column, "descending": descending} for column, descending in by]}


def limit(n: int) -> Json:
    return {"op": "limit", "n": n}


def truncate(every: str, zone: str = "UTC") -> Json:
    return fn("truncate", NOW, every=every, zone=zone)


DEVICE, TEMP, N, OK, STATUS, FIRMWARE = map(col, ("device", "temp", "n", "ok", "status", "firmware"))
NOW = fn("time")
ROWS = agg("count")
UP = fn("eq", STATUS, lit("up"))
ALIVE = col("alive")
DURATION = col("duration")
LONDON = "Europe/London"
BY_FIRMWARE, BY_DEVICE, BY_STATUS = named(firmware=FIRMWARE), named(device=DEVICE), named(status=STATUS)
