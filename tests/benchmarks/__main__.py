"""`python -m tests.benchmarks`: measure, print, and write the report."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from tests.benchmarks.data import Shape
from tests.benchmarks.peers import ClickHouseMergeTree, DuckDBParquet, Engine
from tests.benchmarks.questions import QUESTIONS
from tests.benchmarks.runner import OURS, run
from tests.benchmarks.table import show


def antfold(shape: Shape, workers: int) -> Engine:
    """Our engine; imported only when asked for, so that the peers can be measured on their own."""
    from tests.benchmarks.ours import Antfold

    return Antfold(shape, workers)


ENGINES: dict[str, Callable[[Shape, int], Engine]] = {
    OURS: antfold,
    "duckdb_parquet": DuckDBParquet,
    "clickhouse_mergetree": ClickHouseMergeTree,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark; 1 where a bar that was measured does not hold."""
    options = _parser().parse_args(arguments)
    # A report that goes to a file needs no wrapping.
    console = Console(width=None if sys.stdout.isatty() else 160)
    shape = Shape(points=options.points, seed=options.seed, temp_step=options.temp_step, gaps=options.gaps)
    questions = [q for q in QUESTIONS if not options.only or q.name in options.only]
    engines = [ENGINES[name](shape, options.workers) for name in ENGINES if name in options.engines]
    options.work.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="antfold-bench-", dir=options.work))
    try:
        report = run(shape, engines, questions, options.runs, folder, lambda line: print(line, file=sys.stderr))
    finally:
        if options.keep:
            console.print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    show(report, console)
    if options.report:
        options.report.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return 1 if any(bar.holds is False for bar in report.bars()) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--points", type=int, default=20_000_000, help="points to draw (default 20 million)")
    parser.add_argument("--only", action="append", choices=[q.name for q in QUESTIONS], help="one question; repeatable")
    parser.add_argument("--engines", nargs="+", choices=list(ENGINES), default=list(ENGINES))
    parser.add_argument("--runs", type=int, default=3, help="rounds in which the engines take turns (default 3)")
    parser.add_argument("--workers", type=int, default=2, help="threads of every engine (default 2)")
    parser.add_argument("--seed", type=int, default=Shape().seed)
    parser.add_argument("--temp-step", type=float, default=Shape().temp_step, help="5.0 makes temperatures independent")
    parser.add_argument("--gaps", type=float, default=Shape().gaps, help="share of the points followed by an outage")
    parser.add_argument("--report", type=Path, help="write the report as JSON to this file")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()), help="where to put the data")
    parser.add_argument("--keep", action="store_true", help="do not remove the data at the end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
