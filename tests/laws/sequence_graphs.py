"""Metrics over the order of a key's rows: patterns, variants, paths, lifecycles, rows without repetitions."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b

DOWN, DEGRADED = (b.fn("eq", b.STATUS, b.lit(word)) for word in ("down", "degraded"))
WARM = b.fn("gt", b.TEMP, b.lit(20.0))

MATCHES: dict[str, b.Json] = {
    "match_skips": b.graph(b.match("U .* D", within=HOUR, U=b.UP, D=DOWN)),
    "match_skips_for_ever": b.graph(
        b.match("U .* W{2}", U=b.UP, W=WARM),
        b.select(
            start=b.col("start"), u=b.col("U.n"), w=b.col("W.n"), t=b.col("W.temp"), s=b.col("U.status"), fw=b.FIRMWARE
        ),
    ),
    "match_ambiguous": b.graph(b.match("(U | W) (W U | W)* O?", within=2 * GAP, U=b.UP, W=WARM, O=b.OK)),
    "match_overlapping_words": b.graph(b.match("(U W){2,} | O{1,3} U", U=b.UP, W=WARM, O=b.OK)),
    "match_by_firmware": b.graph(
        b.match("(A | B+ C)+", A=b.UP, B=DEGRADED, C=DOWN),
        b.group(
            b.named(firmware=b.FIRMWARE, last=b.col("C.status")),
            n=b.ROWS,
            time=b.agg("duration"),
            rows=b.agg("sum", b.col("B_count")),
            late=b.agg("max", b.fn("sub", b.col("A_last"), b.col("start"))),
        ),
    ),
    "match_of_sessions": b.graph(
        b.sessions(n=b.ROWS),
        b.match("S L", S=b.fn("eq", b.col("n"), b.lit(1)), L=b.fn("gt", b.col("n"), b.lit(1))),
        b.select(start=b.col("start"), n=b.col("L.n"), fw=b.FIRMWARE, length=b.DURATION),
    ),
}

SEQUENCES: dict[str, b.Json] = {
    "variants_of_numbers": b.graph(
        b.sequence(b.TEMP, length=2),
        b.group(b.named(variant=b.col("variant"), fw=b.FIRMWARE), keys=b.ROWS, most=b.agg("max", b.col("count"))),
    ),
    "sequence_of_changes": b.graph(
        b.where(b.fn("changed", b.OK)),
        b.sequence(b.OK),
        b.where(b.fn("starts_with", b.col("variant"), prefix="false > true")),
        b.select(device=b.DEVICE, variant=b.col("variant"), n=b.N, time=b.DURATION),
    ),
}

SUBPATHS: dict[str, b.Json] = {
    "paths_from_up": b.graph(
        b.subpaths(b.STATUS, gap=HOUR, start=b.UP),
        b.select(device=b.DEVICE, path=b.col("path"), n=b.col("count"), after=b.col("after"), fw=b.FIRMWARE),
    ),
    "paths_to_down": b.graph(b.subpaths(b.STATUS, 4, HOUR, end=DOWN)),
    "paths_from_up_to_down": b.graph(
        b.subpaths(b.STATUS, 4, None, start=b.UP, end=DOWN),
        b.group(b.named(path=b.col("path"), fw=b.FIRMWARE), count=b.ROWS, t=b.agg("max", b.col("after"))),
    ),
    "paths_before": b.graph(
        b.subpaths(b.STATUS, 2, HOUR),
        b.extend(before=b.fn("previous", b.col("path")), new=b.fn("changed", b.col("path"))),
    ),
}

ACTIVITY: dict[str, b.Json] = {
    "activity_by_firmware": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.activity("1h"),
        b.group(b.named(status=b.col("status"), firmware=b.FIRMWARE), keys=b.ROWS, n=b.agg("max", b.N)),
    ),
    "activity_of_sessions": b.graph(
        b.sessions(n=b.ROWS), b.activity("1d", b.LONDON), b.where(b.fn("eq", b.col("status"), b.lit("dormant")))
    ),
}

DEDUPE_GRAPHS: dict[str, b.Json] = {
    "dedupe_of_floats": b.graph(b.dedupe(b.TEMP, HOUR), b.extend(was=b.fn("previous", b.TEMP))),
    "dedupe_twice_after_a_filter": b.graph(
        b.where(b.fn("changed", b.STATUS)), b.dedupe(b.STATUS, HOUR), b.dedupe(b.FIRMWARE, GAP), b.states(b.STATUS)
    ),
    "dedupe_of_sessions": b.graph(
        b.sessions(n=b.ROWS), b.dedupe(b.col("n"), HOUR), b.extend(total=b.fn("cumulative_sum", b.col("n")))
    ),
    "dedupe_in_a_timeline": b.graph(
        {
            "op": "timeline",
            "tracks": [
                {"name": "a", "steps": [b.dedupe(b.STATUS, HOUR), b.states(b.UP, "state")]},
                {"name": "b", "steps": [b.beats()]},
            ],
            "state": b.fn("and", b.col("a"), b.col("b")),
            "name": "both",
        }
    ),
}

SEQUENCE_GRAPHS = MATCHES | SEQUENCES | SUBPATHS | ACTIVITY
