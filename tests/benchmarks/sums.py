"""The cost of exact sums: `python -m tests.benchmarks.sums`.

The generated kernel of a `group_by().agg()` over rows in memory, with the exact float sum and with a plain one (an
aggregate that breaks the laws, registered here). The kernels differ only in the step. They take turns in rounds and
are compared by the CPU seconds of this thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.plan.stages import Plan
from operators.states.strings import Words
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.row_batch import VALID, RowBatch
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.task import Compiled

STREAM = StreamColumns("device", Type.STRING, "ts", {"temp": Type.FLOAT, "group": Type.INT})
CHUNK = 32_768
DISTINCT = 128 * CHUNK
BAR = 0.8
"""Of the plain sum's speed."""

Numbers: TypeAlias = Callable[[np.random.Generator], NDArray[np.float64]]


def _add(g: Any, total: Any, n: Any, value: Any) -> None:
    total[g] += value
    n[g] += 1


PLAIN = df.Aggregate(
    "benchmark_plain_sum", Type.FLOAT, Type.FLOAT, (df.Field("total", "f8"), df.Field("n")), ("value",), _add,
    df.merge_by_adding, lambda state: (state["total"], state["n"] > 0), flags=df.Flags(additive=False, exact=False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Nanoseconds of CPU a row, one figure a round, of the exact sum and of the plain one."""

    what: str
    numbers: str
    groups: int
    exact: tuple[float, ...]
    plain: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """The exact sum's speed as a share of the plain one's: the middle round."""
        return statistics.median(p / e for e, p in zip(self.exact, self.plain, strict=True))

    def __str__(self) -> str:
        e, p = statistics.median(self.exact), statistics.median(self.plain)
        return f"{self.numbers}, {self.what}: exact {e:.2f} ns a row, plain {p:.2f}: {self.ratio:.2f} of its speed"


def _alike(rng: np.random.Generator) -> NDArray[np.float64]:
    return np.round(rng.normal(20, 8, CHUNK), 1)


def _spread(exponent: int) -> Numbers:
    return lambda rng: np.ldexp(rng.normal(size=CHUNK), rng.integers(-exponent, exponent, CHUNK, endpoint=True))


def _cancelling(rng: np.random.Generator) -> NDArray[np.float64]:
    out = _alike(rng)
    out[::100] = np.where(np.arange(len(out[::100])) & 1, 1e300, -1e300)
    return out


NUMBERS: dict[str, Numbers] = {
    "alike": _alike,
    **{f"2**-{e} to 2**{e}": _spread(e) for e in (5, 30, 100, 900)},
    "10**300": lambda rng: rng.normal(size=CHUNK) * 1e300,
    "cancelling": _cancelling,
    "subnormal": lambda rng: rng.integers(-(2**20), 2**20, CHUNK) * 5e-324,
}
"""By name, makers of a chunk of numbers: temperatures of one decimal; of all sizes in a range; about as large as floats
are; temperatures among which one in a hundred is 10**300 or the negative of that; the smallest there are."""


def chunks(rows: int, groups: int, runs: bool, numbers: Numbers) -> tuple[Keys, Words, list[RowBatch]]:
    """Rows of 100 keys, in groups at random or in long runs of one."""
    rng = np.random.default_rng(1)
    words = Words()
    keys = Keys(Type.STRING, words)
    names = Dictionary.of([f"d{i:02d}" for i in range(100)])
    slots = keys.slots(Column(Type.STRING, np.arange(100, dtype=np.int32), None, names))
    out = []
    for at in range(0, min(rows, DISTINCT), CHUNK):
        group = rng.integers(0, groups, CHUNK) if not runs else np.full(CHUNK, at // CHUNK % groups)
        columns = {"temp": (numbers(rng), VALID), "group": (group, VALID)}
        one = np.array([CHUNK], np.int64)
        out.append(RowBatch(slots[:1], one, np.arange(at, at + CHUNK), columns))
    return keys, words, out


def seconds(plan: Plan, keys: Keys, words: Words, given: list[RowBatch], rows: int) -> float:
    """CPU seconds of the kernel over so many rows, the chunks again and again, and of settling and finishing."""
    pipeline = Pipeline(plan, Compiled(plan).kernels, TaskContext(words, keys, 0, 2**60, (0, 2**60)))
    started = time.thread_time()
    for chunk in islice(cycle(given), rows // CHUNK):
        pipeline.push(chunk)
    groups = pipeline.runners[-1].groups
    assert groups is not None
    groups.export(words.strings)
    groups.cells.finish(np.arange(len(groups)), words)
    return time.thread_time() - started


def measure(rows: int, rounds: int, kinds: Sequence[str]) -> Iterator[Cost]:
    """Every shape, exact and plain in turns."""
    plain = df.register(PLAIN)
    points = df.stream("s")
    shapes: list[tuple[str, df.Grouped, int, bool]] = [
        ("no groups", points.group_by(), 1, True),
        ("16 groups, in runs", points.group_by("group"), 16, True),
        ("16 groups, at random", points.group_by("group"), 16, False),
        ("1,000 groups, at random", points.group_by("group"), 1_000, False),
        ("10,000 groups, at random", points.group_by("group"), 10_000, False),
        ("1,000,000 groups, at random", points.group_by("group"), 1_000_000, False),
    ]
    for kind in kinds:
        for what, grouped, groups, runs in shapes:
            keys, words, given = chunks(rows, groups, runs, NUMBERS[kind])
            plans = [bind(grouped.agg(s=s).steps, STREAM) for s in (df.sum("temp"), plain("temp"))]
            times: tuple[list[float], list[float]] = ([], [])
            # The first round compiles.
            for _ in range(rounds + 1):
                for plan, mine in zip(plans, times, strict=True):
                    mine.append(seconds(plan, keys, words, given, rows) / rows * 1e9)
            yield Cost(what, kind, groups, tuple(times[0][1:]), tuple(times[1][1:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.sums", description=__doc__)
    parser.add_argument("--rows", type=int, default=4 * DISTINCT)
    parser.add_argument("--runs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--numbers", choices=NUMBERS, action="append", help="just such numbers; repeatable")
    parser.add_argument("--report", type=Path, help="write the figures as JSON to this file")
    options = parser.parse_args(arguments)
    found = []
    for cost in measure(options.rows, options.runs, options.numbers or list(NUMBERS)):
        print(cost, flush=True)
        found.append(cost)
    if options.report:
        figures = [asdict(c) | {"ratio": c.ratio} for c in found]
        options.report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if any(c.ratio < BAR for c in found) else 0


if __name__ == "__main__":
    sys.exit(main())
