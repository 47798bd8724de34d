"""Metrics over the rows of a stream and over groups of them."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP
from tests.laws import builders as b

_OF_ONE = ("sqrt", "exp", "log", "log2", "log10", "sin", "cos", "tan", "acos", "atan", "radians", "degrees")

ROW_GRAPHS: dict[str, b.Json] = {
    "points_as_they_are": b.graph(b.where(b.fn("is_not_null", b.TEMP))),
    "count_all": b.graph(b.group([], rows=b.ROWS, temps=b.agg("count", b.TEMP))),
    "numbers_by_firmware": b.graph(
        b.group(
            b.BY_FIRMWARE,
            total=b.agg("sum", b.TEMP),
            mean=b.agg("mean", b.TEMP),
            low=b.agg("min", b.TEMP),
            high=b.agg("max", b.TEMP),
            n=b.agg("sum", b.N),
        )
    ),
    "integers_by_device": b.graph(
        b.group(
            b.BY_DEVICE,
            total=b.agg("sum", b.N),
            mean=b.agg("mean", b.N),
            low=b.agg("min", b.N),
            high=b.agg("max", b.N),
            rows=b.ROWS,
        )
    ),
    "integer_mean_overall": b.graph(b.group([], total=b.agg("sum", b.N), mean=b.agg("mean", b.N))),
    "first_last_by_device": b.graph(
        b.group(
            b.BY_DEVICE,
            first_temp=b.agg("first", b.TEMP),
            last_temp=b.agg("last", b.TEMP),
            first_status=b.agg("first", b.STATUS),
            last_status=b.agg("last", b.STATUS),
            first_ok=b.agg("first", b.OK),
            last_n=b.agg("last", b.N),
        )
    ),
    "booleans_by_status": b.graph(b.group(b.BY_STATUS, some=b.agg("any_true", b.OK), every=b.agg("all_true", b.OK))),
    "distinct": b.graph(
        b.group(
            b.BY_STATUS,
            devices=b.agg("count_distinct", b.DEVICE),
            temps=b.agg("count_distinct", b.TEMP),
            numbers=b.agg("count_distinct", b.N),
            firmwares=b.agg("count_distinct", b.FIRMWARE),
            flags=b.agg("count_distinct", b.OK),
        )
    ),
    "strings_min_max": b.graph(b.group(b.BY_DEVICE, low=b.agg("min", b.FIRMWARE), high=b.agg("max", b.FIRMWARE))),
    "where_in_aggregates": b.graph(
        b.group(
            b.BY_FIRMWARE,
            up=b.agg("count", where=b.UP),
            warm=b.agg("mean", b.TEMP, where=b.fn("gt", b.TEMP, b.lit(20.0))),
            total=b.agg("sum", b.N, where=b.fn("not", b.OK)),
            devices=b.agg("count_distinct", b.DEVICE, where=b.UP),
        )
    ),
    "group_by_expressions": b.graph(
        b.group(
            b.named(hot=b.fn("ge", b.TEMP, b.lit(21.5)), odd=b.fn("mod", b.N, b.lit(2)), status=b.STATUS), rows=b.ROWS
        )
    ),
    "group_by_float_and_bool": b.graph(b.group(b.named(temp=b.TEMP, ok=b.OK), rows=b.ROWS, n=b.agg("sum", b.N))),
    "arithmetic_floats": b.graph(
        b.select(
            add=b.fn("add", b.TEMP, b.lit(0.1)),
            sub=b.fn("sub", b.TEMP, b.N),
            mul=b.fn("mul", b.TEMP, b.lit(3)),
            div=b.fn("div", b.TEMP, b.N),
            floordiv=b.fn("floordiv", b.TEMP, b.lit(0.5)),
            mod=b.fn("mod", b.TEMP, b.N),
            neg=b.fn("neg", b.TEMP),
            abs=b.fn("abs", b.TEMP),
        )
    ),
    "arithmetic_integers": b.graph(
        b.where(b.fn("lt", b.fn("abs", b.N), b.lit(1000))),
        b.select(
            add=b.fn("add", b.N, b.lit(1)),
            sub=b.fn("sub", b.lit(5), b.N),
            mul=b.fn("mul", b.N, b.N),
            div=b.fn("div", b.lit(7), b.N),
            floordiv=b.fn("floordiv", b.lit(7), b.N),
            floordiv_negative=b.fn("floordiv", b.N, b.lit(-2)),
            mod=b.fn("mod", b.lit(7), b.N),
            mod_negative=b.fn("mod", b.N, b.lit(-3)),
            neg=b.fn("neg", b.N),
            abs=b.fn("abs", b.N),
        ),
    ),
    "arithmetic_huge": b.graph(
        b.select(add=b.fn("add", b.N, b.N), down=b.fn("sub", b.N, b.lit(1)), mul=b.fn("mul", b.N, b.lit(2)))
    ),
    "comparisons": b.graph(
        b.select(
            eq=b.fn("eq", b.TEMP, b.lit(21.5)),
            ne=b.fn("ne", b.STATUS, b.lit("up")),
            lt=b.fn("lt", b.N, b.lit(2)),
            le=b.fn("le", b.N, b.TEMP),
            gt=b.fn("gt", b.TEMP, b.lit(0)),
            ge=b.fn("ge", b.N, b.lit(2)),
            between=b.fn("between", b.TEMP, b.lit(0.1), b.lit(21.5)),
            same=b.fn("eq", b.STATUS, b.FIRMWARE),
            ok=b.fn("eq", b.OK, b.lit(True)),
        )
    ),
    "strings_in_order": b.graph(b.group(b.named(late=b.fn("lt", b.STATUS, b.lit("m"))), rows=b.ROWS)),
    "kleene": b.graph(
        b.select(
            both=b.fn("and", b.OK, b.fn("gt", b.TEMP, b.lit(20.0))),
            either=b.fn("or", b.OK, b.fn("gt", b.TEMP, b.lit(20.0))),
            negated=b.fn("not", b.fn("and", b.OK, b.UP)),
        )
    ),
    "filter_kleene": b.graph(
        b.where(b.fn("or", b.fn("not", b.OK), b.fn("and", b.UP, b.fn("lt", b.N, b.lit(3))))),
        b.group(b.BY_STATUS, rows=b.ROWS),
    ),
    "membership": b.graph(
        b.select(
            status=b.fn("is_in", b.STATUS, values=["up", "degraded", "never seen"], type="string"),
            n=b.fn("is_in", b.N, values=[1, 3], type="int64"),
            temp=b.fn("is_in", b.TEMP, values=[0.1, 30.0], type="float64"),
            nothing=b.fn("is_in", b.FIRMWARE, values=[], type="string"),
        )
    ),
    "nulls": b.graph(
        b.select(
            temp=b.fn("fill_null", b.TEMP, b.lit(-1.0)),
            n=b.fn("fill_null", b.N, b.lit(0)),
            mixed=b.fn("fill_null", b.N, b.lit(0.5)),
            status=b.fn("fill_null", b.STATUS, b.lit("silent")),
            other=b.fn("fill_null", b.FIRMWARE, b.STATUS),
            no_temp=b.fn("is_null", b.TEMP),
            has_status=b.fn("is_not_null", b.STATUS),
        )
    ),
    "parts_of_strings": b.graph(
        b.group(
            b.named(one=b.fn("starts_with", b.FIRMWARE, prefix="1."), dotted=b.fn("contains", b.FIRMWARE, text=".")),
            rows=b.ROWS,
            umlaut=b.agg("count", where=b.fn("contains", b.FIRMWARE, text="ä")),
        )
    ),
    "texts": b.graph(
        b.select(
            lower=b.fn("upper", b.fn("strip", b.STATUS)),
            twice=b.fn("replace", b.fn("replace", b.STATUS, old="d", new="dd"), old="dd", new="d.d"),
            piece=b.fn("split", b.FIRMWARE, separator=".", index=1),
            last=b.fn("split", b.FIRMWARE, separator=".", index=-1),
            part=b.fn("substring", b.STATUS, start=1, count=3),
            rest=b.fn("substring", b.FIRMWARE, start=2),
            length=b.fn("length", b.FIRMWARE),
            hash=b.fn("hash", b.FIRMWARE),
            sample=b.fn("mod", b.fn("hash", b.N), b.lit(10)),
            of_key=b.fn("hash", b.DEVICE),
            like=b.fn("like", b.STATUS, pattern="d%_e%"),
            ends=b.fn("ends_with", b.STATUS, suffix="n"),
            major=b.fn("extract", b.FIRMWARE, pattern="^v?([0-9]+)(?:[.]|$)"),
            vowel=b.fn("extract", b.STATUS, pattern="[aeiou]+.?"),
            number=b.fn("number", b.FIRMWARE, decimal=".", thousands=""),
            at=b.fn("parse_time", b.FIRMWARE, format="%d.%m.%Y", zone="UTC"),
        )
    ),
    "texts_put_together": b.graph(
        b.extend(
            both=b.fn("add", b.fn("add", b.STATUS, b.lit("-")), b.fn("lower", b.FIRMWARE)),
            named=b.fn("add", b.DEVICE, b.fn("add", b.lit("/"), b.STATUS)),
            word=b.fn("when", b.OK, b.fn("add", b.lit("<"), b.STATUS), b.fn("upper", b.FIRMWARE)),
        ),
        b.where(b.fn("is_not_null", b.col("word"))),
        b.extend(
            again=b.fn("replace", b.fn("last", b.col("word"), hold=None), old="<", new="<<"),
            was=b.fn("previous", b.col("both")),
        ),
        b.group(
            b.named(again=b.col("again"), both=b.col("both")),
            rows=b.ROWS,
            first=b.agg("min", b.col("named")),
            was=b.agg("last", b.col("was")),
            words=b.agg("count_distinct", b.fn("substring", b.col("again"), start=0, count=2)),
        ),
    ),
    "texts_of_windows": b.graph(
        b.extend(shout=b.fn("add", b.fn("upper", b.STATUS), b.lit("!"))),
        b.windows("1h", shout=b.agg("last", b.col("shout"))),
        b.extend(loud=b.fn("replace", b.col("shout"), old="!", new="!!"), site=b.fn("add", b.DEVICE, b.col("shout"))),
        b.group(b.named(loud=b.col("loud")), rows=b.ROWS, site=b.agg("max", b.col("site"))),
        b.extend(quiet=b.fn("lower", b.col("loud")), long=b.fn("add", b.col("loud"), b.col("site"))),
    ),
    "real_numbers": b.graph(
        b.extend(x=b.fn("mod", b.TEMP, b.lit(7.0)), y=b.fn("mod", b.N, b.lit(5))),
        # Rounded: the last bit may be another one where the exact value is nearly between two floats.
        b.select(
            **{f: b.fn("round", b.fn(f, b.col("x")), n=11) for f in _OF_ONE},
            arc=b.fn("round", b.fn("asin", b.fn("div", b.col("y"), b.lit(4))), n=11),
            power=b.fn("round", b.fn("pow", b.col("x"), b.col("y")), n=6),
            angle=b.fn("round", b.fn("atan2", b.col("y"), b.col("x")), n=11),
            way=b.fn("round", b.fn("haversine", b.col("x"), b.col("y"), b.lit(1.5), b.TEMP), n=4),
            large=b.fn("round", b.fn("sin", b.TEMP), n=11),
        ),
    ),
    "rounded_numbers": b.graph(
        b.extend(d=b.fn("decimal", b.fn("mod", b.TEMP, b.lit(100.0)), places=3, rounding="half_even")),
        b.select(
            **{f: b.fn(f, b.TEMP) for f in ("floor", "ceil", "round", "sign")},
            **{f"n_{f}": b.fn(f, b.N) for f in ("floor", "ceil", "round", "sign")},
            **{f"d_{f}": b.fn(f, b.col("d")) for f in ("floor", "ceil", "round", "sign")},
            tenths=b.fn("round", b.TEMP, n=1),
            tens=b.fn("round", b.TEMP, n=-1),
            n_tens=b.fn("round", b.fn("mod", b.N, b.lit(1000)), n=-1),
            cents=b.fn("round", b.col("d"), n=2),
            d_tens=b.fn("round", b.col("d"), n=-1),
            length=b.fn("sign", b.fn("sub", b.NOW, b.truncate("1h"))),
        ),
    ),
    "bounds": b.graph(
        b.extend(d=b.fn("decimal", b.fn("mod", b.TEMP, b.lit(100.0)), places=1, rounding="half_even")),
        b.select(
            low=b.fn("least", b.TEMP, b.N, b.lit(20.5)),
            high=b.fn("greatest", b.TEMP, b.fn("neg", b.TEMP)),
            whole=b.fn("greatest", b.N, b.lit(2), b.fn("mod", b.N, b.lit(7))),
            money=b.fn("least", b.col("d"), b.N),
            mixed=b.fn("greatest", b.col("d"), b.TEMP),
            bounded=b.fn("clip", b.TEMP, b.N, b.lit(21.0)),
            above=b.fn("clip", b.N, b.lit(1), {"lit": None, "type": "null"}),
            crossed=b.fn("clip", b.N, b.lit(3), b.lit(1)),
            since=b.fn("least", b.fn("sub", b.NOW, b.truncate("1h")), b.lit(GAP, "duration")),
            later=b.fn("greatest", b.NOW, b.truncate("1h")),
        ),
    ),
    "casts": b.graph(
        b.select(
            whole=b.fn("try_cast", b.TEMP, type="int64"),
            float=b.fn("try_cast", b.N, type="float64"),
            flag=b.fn("try_cast", b.N, type="bool"),
            one=b.fn("cast", b.OK, type="int64"),
            read=b.fn("try_cast", b.FIRMWARE, type="float64"),
            none=b.fn("try_cast", b.STATUS, type="bool"),
            cents=b.fn(
                "try_cast",
                b.fn("decimal", b.fn("mod", b.TEMP, b.lit(100.0)), places=2, rounding="half_even"),
                type="int64",
            ),
        )
    ),
    "when": b.graph(
        b.select(
            level=b.fn("when", b.fn("gt", b.TEMP, b.lit(25.0)), b.lit("hot"), b.lit("cold")),
            mixed=b.fn("when", b.OK, b.N, b.lit(0.5)),
            chain=b.fn("when", b.UP, b.N, b.fn("when", b.OK, b.lit(-1), {"lit": None, "type": "null"})),
            word=b.fn("when", b.OK, b.STATUS, b.FIRMWARE),
        )
    ),
    "time_parts": b.graph(
        b.group(
            b.named(hour=b.fn("hour", b.NOW, zone=b.LONDON), weekday=b.fn("weekday", b.NOW, zone="America/New_York")),
            rows=b.ROWS,
            utc=b.agg("min", b.fn("hour", b.NOW, zone="UTC")),
        )
    ),
    "moved_dates": b.graph(
        b.select(
            next=b.fn("offset_by", b.NOW, by="1mo", zone=b.LONDON),
            before=b.fn("offset_by", b.fn("truncate", b.NOW, every="1d", zone=b.LONDON), by="-1y2mo", zone=b.LONDON),
            none=b.fn("offset_by", b.fn("offset_by", b.NOW, by="300y", zone="UTC"), by="-1w", zone="UTC"),
            kept=b.fn("offset_by", b.fn("when", b.OK, b.NOW, {"lit": None, "type": "null"}), by="3d", zone=b.LONDON),
        )
    ),
    "more_time_parts": b.graph(
        b.group(
            b.named(
                day_of_year=b.fn("day_of_year", b.NOW, zone=b.LONDON),
                minute=b.fn("minute", b.NOW, zone="Asia/Kathmandu"),
            ),
            rows=b.ROWS,
            **{p: b.agg("max", b.fn(p, b.NOW, zone=b.LONDON)) for p in ("year", "quarter", "month", "iso_week", "day")},
            seconds=b.agg("sum", b.fn("second", b.NOW, zone="UTC")),
        )
    ),
    "by_10_minutes": b.graph(b.group(b.named(t=b.truncate("10m")), rows=b.ROWS, mean=b.agg("mean", b.TEMP))),
    "by_day_in_london": b.graph(b.group(b.named(day=b.truncate("1d", b.LONDON), status=b.STATUS), rows=b.ROWS)),
    "by_week_month_year": b.graph(
        b.group(b.named(week=b.truncate("1w"), month=b.truncate("1mo", b.LONDON), year=b.truncate("1y")), rows=b.ROWS)
    ),
    "by_later_days_and_weeks": b.graph(
        b.group(
            b.named(
                day=b.truncate("1d+6h", b.LONDON), week=b.truncate("1w@sun+90m"), month=b.truncate("1mo+14d", b.LONDON)
            ),
            rows=b.ROWS,
        )
    ),
    "by_6_hours_in_london": b.graph(
        b.group(b.named(t=b.truncate("6h", b.LONDON)), rows=b.ROWS, first=b.agg("min", b.NOW))
    ),
    "time_in_columns": b.graph(b.select(device=b.DEVICE, at=b.NOW, day=b.truncate("1d"), status=b.STATUS)),
    "last_held": b.graph(
        b.extend(fw=b.fn("last", b.FIRMWARE, hold=None), warm=b.fn("last", b.TEMP, hold=GAP)),
        b.group(
            b.named(fw=b.col("fw")), rows=b.ROWS, mean=b.agg("mean", b.col("warm")), known=b.agg("count", b.col("warm"))
        ),
    ),
    "last_rows": b.graph(
        b.select(device=b.DEVICE, status=b.fn("last", b.STATUS, hold=GAP), n=b.fn("last", b.N, hold=None), now=b.STATUS)
    ),
    "previous": b.graph(
        b.extend(before=b.fn("previous", b.TEMP), status_before=b.fn("previous", b.STATUS)),
        b.group(
            b.named(status=b.STATUS, before=b.col("status_before")),
            rows=b.ROWS,
            step=b.agg("sum", b.fn("sub", b.TEMP, b.col("before"))),
        ),
    ),
    "time_since_previous": b.graph(
        b.select(device=b.DEVICE, step=b.fn("sub", b.NOW, b.fn("previous", b.NOW))),
        b.group(
            b.BY_DEVICE,
            total=b.agg("sum", b.col("step")),
            longest=b.agg("max", b.col("step")),
            steps=b.agg("count", b.col("step")),
        ),
    ),
    "running_sums": b.graph(
        b.select(
            device=b.DEVICE,
            temps=b.fn("cumulative_sum", b.TEMP),
            whole=b.fn("cumulative_sum", b.fn("mod", b.N, b.lit(100))),
            time=b.fn("cumulative_sum", b.fn("sub", b.NOW, b.fn("previous", b.NOW))),
        )
    ),
    "running_sums_filtered": b.graph(
        b.where(b.fn("not", b.OK)),
        b.extend(balance=b.fn("cumulative_sum", b.fn("when", b.UP, b.TEMP, b.fn("neg", b.TEMP)))),
        b.where(b.fn("ge", b.col("balance"), b.lit(0.0))),
        b.group(b.BY_STATUS, rows=b.ROWS, highest=b.agg("max", b.col("balance"))),
    ),
    "changed": b.graph(
        b.group(
            b.BY_DEVICE,
            changes=b.agg("count", where=b.fn("changed", b.STATUS)),
            downs=b.agg("count", where=b.fn("and", b.fn("changed", b.STATUS), b.fn("eq", b.STATUS, b.lit("down")))),
            flips=b.agg("count", where=b.fn("changed", b.OK)),
            rows=b.ROWS,
        )
    ),
    "filter_then_previous": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)),
        b.extend(before=b.fn("previous", b.STATUS)),
        b.where(b.fn("ne", b.STATUS, b.col("before"))),
        b.group(b.named(before=b.col("before"), status=b.STATUS), rows=b.ROWS),
    ),
    "with_columns_in_turn": b.graph(
        b.extend(a=b.fn("add", b.TEMP, b.lit(1.0)), b=b.fn("mul", b.TEMP, b.lit(2.0))),
        b.extend(temp=b.col("a"), c=b.fn("sub", b.col("a"), b.col("b"))),
        b.select(temp=b.TEMP, c=b.col("c"), device=b.DEVICE),
    ),
    "sorted_and_limited": b.graph(
        b.group(b.BY_STATUS, rows=b.ROWS, mean=b.agg("mean", b.TEMP)),
        b.sort(("mean", True), ("rows", False)),
        b.limit(2),
    ),
    "sorted_up": b.graph(b.group(b.BY_FIRMWARE, low=b.agg("min", b.N)), b.sort(("low", False))),
    "after_groups": b.graph(
        b.group(b.BY_STATUS, rows=b.ROWS, total=b.agg("sum", b.N)),
        b.where(b.fn("gt", b.col("rows"), b.lit(1))),
        b.extend(per_row=b.fn("div", b.col("total"), b.col("rows"))),
        b.sort(("per_row", True)),
    ),
    "groups_of_groups": b.graph(
        b.group(b.named(device=b.DEVICE, hour=b.truncate("1h")), rows=b.ROWS, mean=b.agg("mean", b.TEMP)),
        b.group(b.BY_DEVICE, hours=b.ROWS, busiest=b.agg("max", b.col("rows")), mean=b.agg("mean", b.col("mean"))),
    ),
    "with_a_parameter": b.graph(
        b.where(b.fn("gt", b.TEMP, {"param": "threshold", "default": 20.0, "type": "float64"})),
        b.group(b.BY_STATUS, rows=b.ROWS),
    ),
    "point_rows_limited": b.graph(b.select(device=b.DEVICE, temp=b.TEMP), b.limit(3)),
    "point_rows_sorted": b.graph(
        b.select(device=b.DEVICE, n=b.N, status=b.STATUS), b.sort(("n", True), ("status", False))
    ),
}
