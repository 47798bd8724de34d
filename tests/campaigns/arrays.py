"""Compiled loops on arrays that end at an inaccessible guard page.

Every metric of ``tests.laws`` over drawn points, with tables, outputs and sets of minimal capacity, so that all of
them grow repeatedly. An access outside of an array ends the process. The results must equal those on ordinary arrays.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import random
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler import shared_object
from operators.errors import DataflowError
from operators.states import aggregate_states, groups, tallies
from runtime.query.stages import open_cells, runner
from runtime.testing.oracle.strategies import BASE, FIRMWARES, HOUR, KEY, STATUSES, STEPS, TIME, Point
from tests.campaigns import Report
from tests.campaigns.apart import run_apart
from tests.laws.graphs import GRAPHS
from tests.laws.memory import run_in_memory

_PAGE = mmap.PAGESIZE


def run(budget: int, seed: int) -> Report:
    """Compute ``budget`` answers among guarded arrays."""
    return run_apart(__name__, budget, seed)


def attack(report: Report, budget: int, seed: int) -> None:
    """See ``run``; in this process, whose loops have guarded arrays from then on."""
    rng = random.Random(seed)
    names = sorted(GRAPHS)
    rng.shuffle(names)
    asked = []
    for number in range(budget):
        # A metric's kernels take longer to load, or to compile, than to run.
        name = names[number // 10 % len(names)]
        points = _points(rng)
        options: dict[str, Any] = {"tasks": rng.randint(1, 3), "rows": rng.choice([0, 1, 7])}
        options |= {"since": BASE - rng.choice([0, HOUR]), "until": BASE + rng.randint(1, 100) * HOUR}
        asked.append((name, points, options, _answer(name, points, options)))
    guard = _Guard(rng)
    guard.install()
    for name, points, options, right in asked:
        report.count("answers")
        found = _answer(name, points, options)
        if found != right:
            report.failures.append(f"{name}, {options}, {points}: {right} without guards, {found} with them")
    report.count("calls of loops", guard.calls)


def _answer(name: str, points: list[Point], options: dict[str, Any]) -> str:
    graph = GRAPHS[name]
    try:
        return repr(run_in_memory(json.loads(graph) if isinstance(graph, str) else graph, points, **options))
    except DataflowError as error:
        return f"{type(error).__name__}: {error}"


def _points(rng: random.Random) -> list[Point]:
    out: list[Point] = []
    for key in [f"k{i}" for i in range(rng.choice([0, 1, 3, 12]))]:
        t = BASE - rng.choice([0, 2 * HOUR])
        for _ in range(rng.randrange(14)):
            t += rng.choice(STEPS)
            point: Point = {KEY: key, TIME: t, "temp": rng.choice([rng.gauss(20, 7), 1e300, -1e300, 5e-324, 0.1])}
            point |= {"n": rng.randrange(-1000, 1000), "ok": rng.random() < 0.6}
            point |= {"status": rng.choice(STATUSES), "firmware": rng.choice(FIRMWARES)}
            out.append({k: v for k, v in point.items() if k in (KEY, TIME) or rng.random() < 0.8})
    return out


class _Guard:
    """Gives loops copies of their arrays that end, or begin, at a page without access."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.calls = rng, 0
        self._free: dict[int, list[tuple[mmap.mmap, int]]] = defaultdict(list)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

    def install(self) -> None:
        """From now on, in all of this process; and begin with the smallest tables."""
        usual = shared_object.Native.caller
        guard = self

        def caller(loop: shared_object.Native) -> Callable[..., Any]:
            run = usual(loop)
            return lambda *args: guard.call(run, args)

        shared_object.Native.caller = caller  # type: ignore[method-assign]
        runner._OUT_ROWS, open_cells._FIRST, open_cells._MORE = 12, 1, 1  # type: ignore[misc]
        for made, place in ((groups.Groups, 2), (tallies.Tally, 2), (aggregate_states.PairSet, 0)):
            defaults = list(made.__init__.__defaults__ or ())
            assert defaults[-1] == 64, (made, place)
            made.__init__.__defaults__ = (*defaults[:-1], 1)

    def call(self, run: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """The loop's result; its arrays as it left them."""
        self.calls += 1
        taken: list[tuple[NDArray[Any], NDArray[Any], tuple[int, tuple[mmap.mmap, int]]]] = []
        given: list[Any] = []
        for a in args:
            if not isinstance(a, np.ndarray):
                given.append(a)
                continue
            copy, place = self._guarded(a)
            taken.append((a, copy, place))
            given.append(copy)
        out = run(*given)
        for a, copy, (pages, place) in taken:
            if a.flags.writeable:
                a[...] = copy
            self._free[pages].append(place)
        return out

    def _guarded(self, a: NDArray[Any]) -> tuple[NDArray[Any], tuple[int, tuple[mmap.mmap, int]]]:
        pages = max(1, -(-a.nbytes // _PAGE))
        place = self._free[pages].pop() if self._free[pages] else self._mapped(pages)
        memory, _ = place
        at = _PAGE * (1 + pages) - a.nbytes if self.rng.random() < 0.8 else _PAGE
        copy = np.frombuffer(memory, a.dtype, a.size, at if a.size else _PAGE).reshape(a.shape)
        copy[...] = a
        return copy, (pages, place)

    def _mapped(self, pages: int) -> tuple[mmap.mmap, int]:
        memory = mmap.mmap(-1, _PAGE * (pages + 2))
        address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for edge in (address, address + _PAGE * (1 + pages)):
            if self._libc.mprotect(edge, _PAGE, 0):
                raise OSError(ctypes.get_errno(), "mprotect")
        return memory, address
