"""Metrics over the order of a key's rows: patterns, variants, paths, lifecycles, rows without repetitions."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b

DOWN, DEGRADED = (b.fn("eq", b.STATUS, b.lit(word)) for word in ("down", "degraded"))
WARM = b.fn("gt", b.TEMP, b.lit(20.0))
BEFORE = b.fn("previous", b.N)
FALLS, RISES = b.fn("lt", b.N, BEFORE), b.fn("gt", b.N, BEFORE)
NOT_DOWN = b.fn("not", DOWN)

MATCHES: dict[str, b.Json] = {
    "match_falls": b.graph(b.match("F{2,} R", F=FALLS, R=RISES)),
    "match_runs": b.graph(
        b.match("D{2,}", within=HOUR, D=NOT_DOWN),
        b.select(device=b.DEVICE, start=b.col("start"), end=b.col("end"), n=b.col("count"), fw=b.FIRMWARE),
    ),
    "match_skips": b.graph(b.match("U .* D", within=HOUR, U=b.UP, D=DOWN)),
    "match_skips_for_ever": b.graph(
        b.match("U .* W{2}", U=b.UP, W=WARM),
        b.select(
            start=b.col("start"), u=b.col("U.n"), w=b.col("W.n"), t=b.col("W.temp"), s=b.col("U.status"), fw=b.FIRMWARE
        ),
    ),
    "match_ambiguous": b.graph(b.match("(U | W) (W U | W)* O?", within=2 * GAP, U=b.UP, W=WARM, O=b.OK)),
    "match_overlapping_words": b.graph(b.match("(U W){2,} | O{1,3} U", U=b.UP, W=WARM, O=b.OK)),
    "match_tries_to_go_on": b.graph(b.match("U (. . W)?", within=HOUR, U=b.UP, W=WARM)),
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
    "sessions_of_matches": b.graph(b.match("W+", W=WARM), b.sessions(HOUR, rows=b.agg("sum", b.col("count")))),
}

SEQUENCES: dict[str, b.Json] = {
    "sequence_rows": b.graph(b.sequence(b.STATUS)),
    "variants": b.graph(b.sequence(b.STATUS, length=3), b.group(b.named(variant=b.col("variant")), keys=b.ROWS)),
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
    "variants_of_sessions": b.graph(
        b.sessions(n=b.ROWS), b.sequence(b.col("n")), b.group(b.named(v=b.col("variant")), keys=b.ROWS)
    ),
}

SUBPATHS: dict[str, b.Json] = {
    "subpath_rows": b.graph(b.subpaths(b.STATUS)),
    "paths_of_three": b.graph(
        b.subpaths(b.STATUS, gap=None), b.group(b.named(path=b.col("path")), count=b.ROWS)
    ),
    "paths_from_up": b.graph(
        b.subpaths(b.STATUS, gap=HOUR, start=b.UP),
        b.select(device=b.DEVICE, path=b.col("path"), n=b.col("count"), after=b.col("after"), fw=b.FIRMWARE),
    ),
    "paths_to_down": b.graph(b.subpaths(b.STATUS, 4, HOUR, end=DOWN)),
    "paths_from_up_to_down": b.graph(
        b.subpaths(b.STATUS, 4, None, start=b.UP, end=DOWN),
        b.group(b.named(path=b.col("path"), fw=b.FIRMWARE), count=b.ROWS, t=b.agg("max", b.col("after"))),
    ),
    "sessions_of_paths": b.graph(b.subpaths(b.N, 2), b.sessions(HOUR, n=b.agg("last", b.col("path")))),
    "paths_before": b.graph(
        b.subpaths(b.STATUS, 2, HOUR),
        b.extend(before=b.fn("previous", b.col("path")), new=b.fn("changed", b.col("path"))),
    ),
}

ACTIVITY: dict[str, b.Json] = {
    "activity_rows": b.graph(b.activity()),
    "lifecycle_in_london": b.graph(
        b.activity("1d", b.LONDON), b.group(b.named(start=b.col("start"), status=b.col("status")), keys=b.ROWS)
    ),
    "activity_by_firmware": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.activity("1h"),
        b.group(b.named(status=b.col("status"), firmware=b.FIRMWARE), keys=b.ROWS, n=b.agg("max", b.N)),
    ),
    "activity_of_sessions": b.graph(b.sessions(n=b.ROWS), b.activity("6h"), b.where(b.fn("eq", b.col("status"), b.lit("dormant")))),
}

DEDUPES: dict[str, b.Json] = {
    "dedupe_rows": b.graph(b.dedupe(b.STATUS)),
    "dedupe_of_floats": b.graph(b.dedupe(b.TEMP, HOUR), b.extend(was=b.fn("previous", b.TEMP))),
    "dedupe_of_all": b.graph(b.dedupe(b.fn("is_null", b.N), 2 * GAP), b.group(b.BY_STATUS, n=b.ROWS)),
    "dedupe_twice_after_a_filter": b.graph(
        b.where(b.fn("changed", b.STATUS)), b.dedupe(b.STATUS, HOUR), b.dedupe(b.FIRMWARE, GAP), b.states(b.STATUS)
    ),
    "dedupe_of_states": b.graph(b.states(b.STATUS), b.dedupe(b.STATUS, HOUR)),
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

SEQUENCE_GRAPHS = MATCHES | SEQUENCES | SUBPATHS | ACTIVITY | DEDUPES
