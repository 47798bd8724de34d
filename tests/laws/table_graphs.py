"""Metrics with functions of other rows of a finished table: over, ranks, neighbours, top, pivot."""

from __future__ import annotations

from tests.laws import builders as b

HOURS = b.named(device=b.DEVICE, hour=b.truncate("1h"))
HOUR, TOTAL, WHOLE, SEEN = map(b.col, ("hour", "total", "whole", "seen"))
BY_HOURS = b.group(
    HOURS,
    rows=b.ROWS,
    total=b.agg("sum", b.TEMP),
    whole=b.agg("sum", b.fn("mod", b.N, b.lit(100))),
    seen=b.agg("max", b.STATUS),
)
DOWN = {"descending": [True]}


def over(of: b.Json | str, *args: b.Json, **options: object) -> b.Json:
    return {"over": of, **({"args": list(args)} if args else {}), **options}


TABLE_GRAPHS: dict[str, b.Json] = {
    "sums_beside_groups": b.graph(
        BY_HOURS,
        b.extend(
            of_device=over(b.agg("sum", TOTAL), per=[b.DEVICE]),
            of_all=over(b.agg("sum", TOTAL)),
            share=over("share", TOTAL, per=[b.DEVICE]),
            share_of_whole=over("share", WHOLE),
            running=over(b.agg("sum", TOTAL), per=[b.DEVICE], order=[HOUR]),
            running_down=over("cumulative_sum", WHOLE, order=[TOTAL, HOUR], descending=[True, False]),
            lowest=over("cumulative_min", TOTAL, per=[b.DEVICE], order=[HOUR]),
            last_three=over(b.agg("mean", TOTAL), per=[SEEN], order=[HOUR], rows=3),
            last_two=over(b.agg("sum", WHOLE, where=b.fn("gt", WHOLE, b.lit(0))), order=[TOTAL], rows=2),
        ),
    ),
    "many_values_beside_groups": b.graph(
        BY_HOURS,
        b.extend(
            middle=over(b.agg("median", TOTAL), order=[HOUR], rows=5),
            distinct=over(b.agg("count_distinct", SEEN), per=[b.DEVICE], order=[WHOLE]),
            spread=over(b.agg("variance", TOTAL, ddof=1), order=[b.fn("abs", WHOLE)], rows=4),
            most=over(b.agg("top_k", SEEN, k=2, cap=10), per=[b.fn("mod", b.col("rows"), b.lit(2))]),
            highest=over(b.agg("max", SEEN), order=[HOUR]),
        ),
    ),
    "places_in_groups": b.graph(
        BY_HOURS,
        b.extend(
            place=over("rank", TOTAL, per=[b.DEVICE]),
            place_of_text=over("rank", SEEN, **DOWN),
            dense=over("dense_rank", WHOLE, **DOWN),
            part=over("ntile", TOTAL, n=3),
            part_of_device=over("ntile", b.col("rows"), n=2, per=[b.DEVICE], **DOWN),
            number=over("row_number", SEEN, order=[WHOLE], per=[b.DEVICE]),
            held=over(b.agg("last", SEEN), order=[HOUR], per=[b.DEVICE]),
            latest=over(b.agg("last", TOTAL, where=b.fn("gt", WHOLE, b.lit(0))), order=[TOTAL, HOUR], rows=2),
            earliest=over(b.agg("first", SEEN), order=[WHOLE], rows=3, **DOWN),
            before=over("previous", TOTAL, n=1, order=[HOUR], per=[b.DEVICE]),
            after=over("next", SEEN, n=2, order=[WHOLE, TOTAL], descending=[True, False]),
            change=b.fn("sub", WHOLE, over("previous", WHOLE, n=1, order=[HOUR])),
        ),
    ),
    "filtered_by_other_rows": b.graph(
        BY_HOURS,
        b.where(b.fn("gt", b.col("rows"), b.lit(0))),
        b.where(b.fn("ge", TOTAL, over(b.agg("mean", TOTAL), per=[b.DEVICE]))),
        b.select(
            device=b.DEVICE,
            hour=HOUR,
            ratio=b.fn("div", over(b.agg("max", over("share", b.fn("mul", TOTAL, b.lit(2.0)))), per=[b.DEVICE]), TOTAL),
        ),
        b.group(b.BY_DEVICE, best=b.agg("max", b.col("ratio")), rows=b.ROWS),
    ),
    "top_of_groups": b.graph(
        BY_HOURS, {"op": "top", "n": 2, "by": TOTAL, "per": [b.DEVICE]}, b.extend(place=over("rank", TOTAL))
    ),
    "top_of_points": b.graph(
        b.select(n=b.N, status=b.STATUS),
        {"op": "top", "n": 2, "by": b.fn("abs", b.N), "per": [b.STATUS], "descending": False},
    ),
    "pivoted": b.graph(
        b.group(b.named(device=b.DEVICE, status=b.STATUS), rows=b.ROWS, high=b.agg("max", b.TEMP)),
        {"op": "pivot", "on": "status",
            "values": [*map(b.lit, ("up", "down", "degraded")), {"lit": None, "type": "null"}]},
    ),
    "pivoted_with_others": b.graph(
        BY_HOURS,
        {"op": "pivot", "on": "device", "values": [b.lit("a"), b.lit("ö")], "other": "more",
            "of": b.agg("mean", TOTAL)},
        b.extend(before=over("previous", b.col("more"), n=1, order=[HOUR])),
    ),
}  # fmt: skip
