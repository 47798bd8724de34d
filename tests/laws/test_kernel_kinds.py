"""One kernel, compiled in every way: the same bits in states and results.

Numba's function in this process, the shared object for this machine, that for x86_64 workers, and that for arm64
workers in an emulator.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numba
import pytest

from dataflow.metrics.bind import bind
from dataflow.metrics.json_form import from_dict
from operators.compiler import cache, shared_object
from operators.compiler.link import has_linker
from operators.compiler.targets import TARGETS, host, worker
from operators.errors import DataflowError
from runtime.query.merge.conclude import _result_digest
from runtime.query.merge.merging import merged
from runtime.query.merge.sliding_windows import Range
from runtime.query.task import state_bytes
from runtime.query.task.task import Compiled
from runtime.testing.oracle.strategies import BASE, FIRMWARES, GAP, HOUR, KEY, STATUSES, TIME, Point
from tests.laws.emulated import Emulated, driver
from tests.laws.graphs import GRAPHS
from tests.laws.memory import STREAM, _task

pytestmark = [
    pytest.mark.skipif(not has_linker(), reason="no C compiler to link with (cc, gcc or clang)"),
]

SOME = [
    "numbers_by_firmware", "arithmetic_floats", "arithmetic_integers", "by_day_in_london", "running_sums",
    "uptime_by_firmware", "sessions_with_parts", "spread_by_firmware", "quantiles_by_status", "counters_by_hour",
    "weighed_by_time", "after_groups",
]  # fmt: skip
"""Graphs whose kernels hold, between them, most of what kernels do; the nightly run has all."""

SINCE, UNTIL = BASE, BASE + 50 * HOUR

Load = Callable[..., Any]

USUAL = cache.compiled


def events() -> list[Point]:
    """Points whose numbers have all their bits, so that one product and sum in one rounding would be another number."""
    rng = random.Random(7)
    found = []
    for key in ("a", "b", "ö"):
        t = SINCE - HOUR
        for _ in range(80):
            t += rng.choice([1, GAP // 3, GAP, GAP + 1, HOUR])
            point: Point = {KEY: key, TIME: t, "temp": rng.gauss(20, 7), "n": rng.randrange(-1000, 1000)}
            point |= {"ok": rng.random() < 0.6, "status": rng.choice(STATUSES), "firmware": rng.choice(FIRMWARES)}
            found.append({k: v for k, v in point.items() if k in (KEY, TIME) or rng.random() < 0.9})
    return found


def outcome(name: str, load: Load, monkeypatch: pytest.MonkeyPatch) -> tuple[list[bytes], str]:
    """The partial states and the digest of the answer, by kernels that ``load`` gives; or the error."""

    def compiled(*kernel: Any, library: bool = False, **options: Any) -> Any:
        # The loops of the library are not what is compared, and may be needed here for the first time.
        return USUAL(*kernel, library=True, **options) if library else load(*kernel, **options)

    monkeypatch.setattr("dataflow.kernels.compile.cache.compiled", compiled)
    monkeypatch.setattr("dataflow.kernels.compile._loaded", {})
    points = [p for p in events() if p[TIME] < UNTIL]
    asked = Compiled(bind(from_dict(GRAPHS[name]), STREAM, {}))
    keys = sorted({p[KEY] for p in points})
    try:
        partials = [_task(asked, str(i), points, set(keys[i::2]), SINCE, UNTIL, 0) for i in range(2)]
        return [state_bytes.pack(p) for p in partials], _result_digest(
            merged(asked.plan, partials, Range(SINCE, UNTIL, SINCE)).result_columns()
        )
    except DataflowError as error:
        return [], str(error)


def jitted(name: str, digest: str, signature: str, make: Callable[[], Any], keep: bool = True) -> Any:
    return numba.njit(signature, nogil=True, error_model="numpy", _nrt=False)(make())


def shared(target: Any) -> Load:
    def load(name: str, digest: str, signature: str, make: Callable[[], Any], keep: bool = True) -> Any:
        return shared_object.Native(cache.built(name, digest, signature, make, target), signature)

    return load


@pytest.fixture
def emulated(tmp_path: Path) -> Iterator[Load]:
    program, running = driver(tmp_path), []

    def load(name: str, digest: str, signature: str, make: Callable[[], Any], keep: bool = True) -> Any:
        running.append(Emulated(program, cache.built(name, digest, signature, make, TARGETS["arm64"]), signature))
        return running[-1]

    yield load
    for kernel in running:
        kernel.close()


def every(names: list[str]) -> Any:
    rest = [pytest.param(n, marks=pytest.mark.nightly) for n in GRAPHS if n not in names]
    return pytest.mark.parametrize("name", [*names, *rest])


class TestSameBits:
    @every(SOME)
    def test_numba_and_shared_objects(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = outcome(name, jitted, monkeypatch)
        assert expected[0] or name not in SOME
        assert outcome(name, shared(host()), monkeypatch) == expected
        if worker().name == "x86_64":
            assert outcome(name, shared(TARGETS["x86_64"]), monkeypatch) == expected

    @every(
        [
            "numbers_by_firmware",
            "arithmetic_floats",
            "running_sums",
            "spread_by_firmware",
            "weighed_by_time",
            "histograms",
        ]
    )
    def test_arm64_in_an_emulator(self, name: str, emulated: Load, monkeypatch: pytest.MonkeyPatch) -> None:
        expected = outcome(name, shared(host()), monkeypatch)
        assert expected[0] or name not in SOME
        assert outcome(name, emulated, monkeypatch) == expected
