"""One run: load the same rows into every engine, compare results, then time rounds in which engines take turns."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.data import Shape, Telemetry, draw
from tests.benchmarks.peers import Engine
from tests.benchmarks.questions import Question, normal_form, same

OURS = "antfold"

Say = Callable[[str], None]


_PAUSE = 0.2
"""Seconds before an engine is asked: what the threads of the one before still do is not counted to it."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one form of one engine, one per round: by the clock, and of all the process's threads together.

    On a machine that others use too, the clock says how long their work took; the threads' own seconds say less
    wrongly how ours compare.
    """

    engine: str
    form: str
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        """The middle round, in seconds of all threads together."""
        return statistics.median(self.cpu)


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as fast as a peer's form ours was: one figure per round, taken within the round.

    `cpu` is the same of the threads' own seconds.
    """

    peer: str
    form: str
    rounds: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle round."""
        return statistics.median(self.rounds)

    @property
    def cpu_median(self) -> float:
        """The middle round, by the threads' own seconds."""
        return statistics.median(self.cpu)


@dataclass(frozen=True, slots=True)
class Bar:
    """A promise: what was measured, how it compares, and whether it holds."""

    name: str
    measured: float | None
    wanted: float
    at_most: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the promise holds; None where it was not measured."""
        if self.measured is None:
            return None
        return self.measured <= self.wanted if self.at_most else self.measured >= self.wanted


@dataclass(slots=True)
class Report:
    """Everything one run measured."""

    shape: Shape
    rows: int
    machine: dict[str, str | int]
    versions: dict[str, str] = field(default_factory=dict)
    load_seconds: dict[str, float] = field(default_factory=dict)
    bytes_per_point: dict[str, float] = field(default_factory=dict)
    timings: dict[str, list[Timing]] = field(default_factory=dict)

    def fastest(self, question: str, engine: str) -> Timing | None:
        """The fastest form (by its median) in which `engine` was asked."""
        timings = [t for t in self.timings.get(question, []) if t.engine == engine]
        return min(timings, key=lambda t: t.median, default=None)

    def ratio(self, question: str, peer: str, form: str | None = None) -> Ratio | None:
        """Ours against one form of a peer (its fastest when not named)."""
        ours = self.fastest(question, OURS)
        if form is None:
            theirs = self.fastest(question, peer)
        else:
            theirs = next((t for t in self.timings.get(question, []) if (t.engine, t.form) == (peer, form)), None)
        if ours is None or theirs is None:
            return None
        rounds = tuple(b / a for a, b in zip(ours.seconds, theirs.seconds, strict=True))
        cpu = tuple(b / a for a, b in zip(ours.cpu, theirs.cpu, strict=True))
        return Ratio(peer, theirs.form, rounds, cpu)

    def bars(self) -> list[Bar]:
        """The promises this benchmark is there to check."""
        uptime = self.ratio("uptime", "clickhouse_mergetree")
        filtered = self.ratio("filter_group", "duckdb_parquet")
        sizes = self.bytes_per_point
        size = sizes[OURS] / sizes["duckdb_parquet"] if {OURS, "duckdb_parquet"} <= sizes.keys() else None
        return [
            Bar("up-time: times ClickHouse MergeTree, its fastest form", _median(uptime), 10.0),
            Bar("filter + group-by: times DuckDB over Parquet", _median(filtered), 1.0),
            Bar("bytes a point: share of Parquet + zstd", size, 0.8, at_most=True),
        ]

    def to_dict(self) -> dict[str, object]:
        """The report as JSON data."""
        questions: dict[str, object] = {}
        for question, timings in self.timings.items():
            questions[question] = {
                "timings": [
                    {
                        "engine": t.engine,
                        "form": t.form,
                        "seconds": [round(s, 6) for s in t.seconds],
                        "cpu_seconds": [round(s, 6) for s in t.cpu],
                        "median": round(t.median, 6),
                        "million_points_a_second": round(self.rows / t.median / 1e6, 3),
                    }
                    for t in timings
                ],
                "ratios": [
                    {
                        "peer": r.peer,
                        "form": r.form,
                        "rounds": [round(x, 3) for x in r.rounds],
                        "cpu_rounds": [round(x, 3) for x in r.cpu],
                    }
                    for r in (self.ratio(question, t.engine, t.form) for t in timings if t.engine != OURS)
                    if r is not None
                ],
            }
        return {
            "shape": asdict(self.shape),
            "rows": self.rows,
            "machine": self.machine,
            "versions": self.versions,
            "load_seconds": self.load_seconds,
            "bytes_per_point": self.bytes_per_point,
            "questions": questions,
            "bars": [asdict(bar) | {"holds": bar.holds} for bar in self.bars()],
        }


def run(
    shape: Shape, engines: Sequence[Engine], questions: Sequence[Question], rounds: int, folder: Path, say: Say
) -> Report:
    """Load, compare and measure; `folder` is filled with one folder per engine."""
    say(f"drawing {shape.fleet * shape.minutes:,} points of {shape.fleet:,} devices")
    telemetry = draw(shape)
    report = Report(shape, telemetry.rows, _machine())
    for engine in engines:
        _load(engine, telemetry, folder, report, say)
    del telemetry
    gc.collect()
    read_all(folder)
    for question in questions:
        _compare(question, engines, say)
        report.timings[question.name] = _measure(question, engines, rounds, say)
    return report


def _median(ratio: Ratio | None) -> float | None:
    return None if ratio is None else ratio.median


def _load(engine: Engine, telemetry: Telemetry, folder: Path, report: Report, say: Say) -> None:
    started = time.perf_counter()
    engine.load(telemetry, folder / engine.name)
    seconds = time.perf_counter() - started
    report.load_seconds[engine.name] = round(seconds, 3)
    report.versions[engine.name] = engine.version()
    report.bytes_per_point[engine.name] = round(engine.size() / telemetry.rows, 4)
    say(f"{engine.name}: loaded in {seconds:.1f} s, {report.bytes_per_point[engine.name]:.2f} bytes a point")


def read_all(folder: Path) -> None:
    """Read every file once, so that all engines start from the page cache."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                while file.read(1 << 22):
                    pass


def _compare(question: Question, engines: Sequence[Engine], say: Say) -> None:
    """Ask every form once: this warms it (caches, compiled kernels) and holds all answers to each other."""
    expected = None
    for engine in engines:
        for form in engine.forms(question.name):
            answer = normal_form(question, engine.run(question.name, form), engine.ticks)
            if expected is None:
                expected = answer
            else:
                same(question, expected, answer, f"{engine.name} ({form})")
    say(f"{question.name}: all answers agree")


def _measure(question: Question, engines: Sequence[Engine], rounds: int, say: Say) -> list[Timing]:
    asked = [(engine, form) for engine in engines for form in engine.forms(question.name)]
    seconds: list[list[float]] = [[] for _ in asked]
    cpu: list[list[float]] = [[] for _ in asked]
    for turn in range(rounds):
        for (engine, form), clock, threads in zip(asked, seconds, cpu, strict=True):
            gc.collect()
            _settle()
            started, worked = time.perf_counter(), time.process_time()
            answer = engine.run(question.name, form)
            clock.append(time.perf_counter() - started)
            threads.append(time.process_time() - worked)
            del answer
        latest = (f"{e.name} ({form}) {each[-1]:.3f} s" for (e, form), each in zip(asked, seconds, strict=True))
        say(f"{question.name}: round {turn + 1} of {rounds}: {', '.join(latest)}")
    return [
        Timing(engine.name, form, tuple(clock), tuple(threads))
        for (engine, form), clock, threads in zip(asked, seconds, cpu, strict=True)
    ]


def _settle() -> None:
    """Wait, but stay awake: a processor that has slept takes milliseconds to come back."""
    end = time.perf_counter() + _PAUSE
    while time.perf_counter() < end:
        pass


def _machine() -> dict[str, str | int]:
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "cores": os.cpu_count() or 1,
        "python": ".".join(map(str, sys.version_info[:3])),
        "load_average": f"{os.getloadavg()[0]:.2f}",
    }
