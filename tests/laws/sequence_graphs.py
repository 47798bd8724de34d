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

SEQUENCE_GRAPHS = MATCHES
