"""Damaged files of the kernel cache: every process that finds one returns the right result or an error.

Shared objects, generated source, Numba's indices and data, and the prebuilt kernels of workers. Each try is its own
process with a time-out; no damage may kill it, hang it, or change its result.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.campaigns import Report, damage

SECONDS = 600
"""No try takes longer, on a busy machine with all kernels to compile."""

MODES = ("native", "native", "numba", "ready")

_BUILD = """
if task == "ready":
    # What was used, compiled for workers.
    import shutil
    from dataflow.kernels.compile import stage_files
    from operators.compiler.targets import worker
    from operators.compiler.loops import LOOPS
    built = [x.built(worker()) for x in LOOPS if x._found is not None]
    built += [x.build(worker()) for stage in stages for x in stage_files(stage)]
    for path in built:
        shutil.copyfile(path, work / "ready" / path.name)
"""

SMALL = (
    """
import sys
from pathlib import Path
import numpy as np
import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.kernels.compile import compile_stage
from operators.errors import DataflowError
from operators.kernels import texts

work, task = Path(sys.argv[1]), sys.argv[2]
columns = StreamColumns("k", df.Type.STRING, "t", {"v": df.Type.FLOAT})
stages = bind(df.stream("s").filter(df.col("v") > 1).agg(n=df.count()).steps, columns).stages
try:
    for stage in stages:
        compile_stage(stage)
    starts, which, first = np.array([0, 2, 4]), np.array([0, 1]), np.frombuffer(b"abab", "u1").copy()
    for text in (b"abab", b"abac"):
        print(texts.same_texts(starts, first, which, starts, np.frombuffer(text, "u1").copy(), which))
except DataflowError as error:
    print(f"error: {error}")
    raise SystemExit(0)
"""
    + _BUILD
)
"""Two kernels and nothing else."""

QUERY = (
    """
import sys
from pathlib import Path
import dataflow as df
from operators.errors import DataflowError
from runtime import Store

work, task = Path(sys.argv[1]), sys.argv[2]
store = Store(work / "store", create=task == "ingest")
if task == "ingest":
    n = 2_000
    points = {"k": [f"k{i % 7}" for i in range(n)], "t": [i * 61 for i in range(n)]}
    points |= {"v": [i % 101 / 10 for i in range(n)], "s": ["up" if i % 3 else "down" for i in range(n)]}
    store.ingest("s", points, key="k", time="t", unit="s")
metric = df.stream("s").filter(df.col("v") > 0.5).group_by("k", "s").agg(v=df.mean("v"), n=df.count())
try:
    result = store.query(metric, progress=False)
except DataflowError as error:
    print(f"error: {error}")
    raise SystemExit(0)
print(sorted(map(repr, result.to_dict()["rows"])), result.proof.result)
if task == "ready":
    from runtime.query.plan.prepare import Request, prepare
    stages = prepare(store.catalogue, Request(metric.steps, {}, None, None)).compiled.plan.stages
"""
    + _BUILD
)
"""A query of a store."""


def run(budget: int, seed: int) -> Report:
    """Try ``budget`` damages; below 500 several at a time, and with two kernels instead of a query's."""
    report, rng = Report(), random.Random(seed)
    at_once, program = (1, QUERY) if budget >= 500 else (2, SMALL)
    with tempfile.TemporaryDirectory(prefix="antfold-kernels-") as name:
        work = Path(name)
        right = _prepared(work, program)
        number = 0
        while number < budget:
            mode = MODES[number // at_once % len(MODES)]
            number += at_once
            _try(report, rng, work, program, mode, right, at_once)
    return report


def _try(report: Report, rng: random.Random, work: Path, program: str, mode: str, right: str, count: int) -> None:
    folder = work / ("ready" if mode == "ready" else f"cache-{mode}")
    files = sorted(p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))
    chosen = rng.sample(files, min(count, len(files)))
    before = {path: path.read_bytes() for path in chosen}
    done = []
    for path in chosen:
        kind = rng.choice(damage.CONTENT if rng.random() < 0.7 else damage.PLACE)
        kind(path, rng)
        done.append(f"{kind.__name__} of {path.name}")
        report.count(f"{mode}: {kind.__name__}")
    what = f"{mode}: {'; '.join(done)}"
    try:
        finished = _process(work, program, mode, "query")
    except subprocess.TimeoutExpired:
        report.failures.append(f"{what}: still running after {SECONDS} s")
    else:
        said = finished.stdout.strip()
        # A worker that compiles nothing says which kernel it lacks.
        refused = mode == "ready" and said.startswith(("error: the kernel ", "error: there is no undamaged kernel "))
        if finished.returncode or (said != right and not refused):
            report.failures.append(
                f"{what}: {right[:80]} is right, status {finished.returncode} and {said[:200]!r} came: "
                f"{finished.stderr.strip()[-300:]}"
            )
    for path, content in before.items():
        damage.restore(path, content)


def _prepared(work: Path, program: str) -> str:
    """Make the store and a warm cache for each mode; the right answer."""
    (work / "ready").mkdir()
    # With its own cache: damage to loops that ingest uses and a query does not would go unnoticed.
    right = _process(work, program, "native", "ingest", "cache-ingest").stdout.strip()
    for mode, task in (("native", "ready"), ("numba", "query"), ("ready", "query")):
        finished = _process(work, program, mode, task)
        assert finished.stdout.strip() == right, (mode, finished)
    return right


def _process(work: Path, program: str, mode: str, task: str, cache: str = "") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "ANTFOLD_CACHE_DIR": str(work / (cache or f"cache-{mode}")),
        "ANTFOLD_KERNELS": mode,
        "ANTFOLD_KERNEL_PATH": str(work / "ready"),
    }
    command = [sys.executable, "-c", program, str(work), task]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
