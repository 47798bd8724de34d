"""Functions of real numbers against high-precision arithmetic: the greatest error of each, in units of the last place.

Each round draws numbers of one function: of all sizes, in its usual range, and where it is hard. Long doubles (64 bits
on x86_64) find the results with the greatest errors, and mpmath judges those. Where long doubles have no more bits than
floats, mpmath judges as many numbers as fit in the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import mpmath
import numba
import numpy as np
from numpy.typing import NDArray

from operators.kernels.real import angles, arcs, exponentials, logarithms, sines
from tests.campaigns import Report

Floats = NDArray[np.float64]
Wide = np.longdouble
WIDE = np.finfo(Wide).nmant > 60
BATCH = 100_000
JUDGED = 60
"""Of each batch, how many of the results with the greatest errors mpmath judges; a few more at random."""

BOUND = 0.501
"""Greatest error that is right: functions promise 1 unit in the last place, and reach nearly half of one."""

mp: Any = mpmath.mp.clone()
mp.dps = 60


@dataclass(frozen=True)
class Tried:
    """A function: its kernel, what is right (of long doubles, of mpmath) and how arguments are drawn."""

    kernel: Callable[..., Any]
    wide: Callable[..., Any]
    exact: Callable[..., Any]
    drawn: Callable[[np.random.Generator, int], tuple[Floats, ...]]


def of_all_sizes(rng: np.random.Generator, n: int) -> Floats:
    """Finite floats of all exponents, subnormal ones among them."""
    size = rng.integers(0, 0x7FF0000000000000, n, dtype=np.uint64).view(np.float64)
    return size * rng.choice([-1.0, 1.0], n)


def _mixed(rng: np.random.Generator, *parts: Callable[[int], Floats], n: int) -> Floats:
    each = -(-n // len(parts))
    found = np.concatenate([part(each) for part in parts])
    rng.shuffle(found)
    return found[:n]


def _near(rng: np.random.Generator, centers: Floats, reach: int = 1 << 20) -> Floats:
    """Floats that are few floats away from these."""
    steps = rng.integers(-reach, reach, len(centers)) >> rng.integers(0, 20, len(centers))
    return np.asarray((centers.view(np.int64) + steps).view(np.float64))


def _exponents(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    return (_mixed(
        rng, lambda k: rng.uniform(-746, 710, k), lambda k: rng.uniform(-1, 1, k), lambda k: rng.uniform(-746, -700, k),
        lambda k: rng.uniform(-1, 1, k) * 2.0 ** rng.uniform(-60, 0, k), n=n,
    ),)  # fmt: skip


def _positive(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    return (_mixed(
        rng, lambda k: np.abs(of_all_sizes(rng, k)), lambda k: rng.uniform(0.5, 2, k),
        lambda k: rng.uniform(0, 1000, k), lambda k: 1 + rng.uniform(-1, 1, k) * 2.0 ** rng.uniform(-52, 0, k),
        lambda k: _near(rng, np.full(k, 1.0)), n=n,
    ),)  # fmt: skip


def _powers(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    base = _positive(rng, n)[0]
    base[base <= 0] = 1.5
    with np.errstate(all="ignore"):
        reached = rng.uniform(-745, 709.7, n) / np.log(base)
    usual = rng.choice([2.0, 3.0, -1.0, 0.5, 1.5, -2.0, 10.0, 1 / 3], n)
    kind = rng.integers(0, 3, n)
    second = np.where(kind == 0, usual, np.where(kind == 1, reached, rng.uniform(-20, 20, n)))
    return base, np.where(np.isfinite(second), second, 2.0)


def _angles(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    multiples = lambda k: (rng.integers(1, 1 << 40, k) >> rng.integers(0, 40, k)) * (math.pi / 2)  # noqa: E731
    return (_mixed(
        rng, lambda k: of_all_sizes(rng, k), lambda k: rng.uniform(-10, 10, k), lambda k: rng.uniform(-1e6, 1e6, k),
        lambda k: _near(rng, multiples(k), 1 << 10), lambda k: rng.uniform(-1, 1, k) * 2.0 ** rng.uniform(-40, 0, k),
        n=n,
    ),)  # fmt: skip


def _ratios(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    return (_mixed(
        rng, lambda k: rng.uniform(-1, 1, k), lambda k: rng.uniform(-1, 1, k) * 2.0 ** rng.uniform(-60, 0, k),
        lambda k: (1 - 2.0 ** rng.uniform(-53, 0, k)) * rng.choice([-1.0, 1.0], k), n=n,
    ),)  # fmt: skip


def _any(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    return (_mixed(rng, lambda k: of_all_sizes(rng, k), lambda k: rng.uniform(-400, 400, k), n=n),)


def _points(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    y = _mixed(rng, lambda k: of_all_sizes(rng, k), lambda k: rng.normal(0, 1, k), n=n)
    with np.errstate(over="ignore"):
        near = y * 2.0 ** rng.uniform(-70, 70, n) * rng.choice([-1.0, 1.0], n)
    x = np.where(rng.random(n) < 0.6, near, rng.permutation(y))
    return y, np.where(np.isfinite(x), x, 1.0)


def _places(rng: np.random.Generator, n: int) -> tuple[Floats, ...]:
    lat, lon = rng.uniform(-90, 90, n), rng.uniform(-180, 180, n)
    far = 2.0 ** rng.uniform(-40, 6, n)
    kind = rng.integers(0, 3, n)
    beside = np.clip(lat + far * rng.uniform(-1, 1, n), -90, 90), np.clip(lon + far * rng.uniform(-1, 1, n), -360, 360)
    other = rng.uniform(-90, 90, n), rng.uniform(-180, 180, n)
    opposite = -beside[0], np.where(beside[1] > 0, beside[1] - 180, beside[1] + 180)
    choose = lambda j: np.where(kind == 0, other[j], np.where(kind == 1, beside[j], opposite[j]))  # noqa: E731
    return lat, lon, choose(0), choose(1)


_DIAMETER = "12742017.6"


def _wide_distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> Any:
    degree = np.arctan(Wide(1)) / 45
    u, v, w = (lat2 - lat1) * degree / 2, (lat2 + lat1) * degree / 2, (lon2 - lon1) * degree / 2
    near = np.hypot(np.sin(u) * np.cos(w), np.cos(v) * np.sin(w))
    return Wide(_DIAMETER) * np.arctan2(near, np.hypot(np.cos(u) * np.cos(w), np.sin(v) * np.sin(w)))


def exact_distance(lat1: Any, lon1: Any, lat2: Any, lon2: Any) -> Any:
    """The haversine formula as textbooks have it."""
    a, b, c, d = (mp.mpf(x) * mp.pi / 180 for x in (lat1, lon1, lat2, lon2))
    hav = mp.sin((c - a) / 2) ** 2 + mp.cos(a) * mp.cos(c) * mp.sin((d - b) / 2) ** 2
    return mp.mpf(_DIAMETER) * mp.asin(mp.sqrt(min(hav, mp.mpf(1))))


PI_WIDE = 4 * np.arctan(Wide(1))
FUNCTIONS = {
    "exp": Tried(exponentials.exponential, np.exp, mp.exp, _exponents),
    "log": Tried(logarithms.logarithm, np.log, mp.log, _positive),
    "log2": Tried(logarithms.logarithm_2, np.log2, lambda x: mp.log(x) / mp.log(2), _positive),
    "log10": Tried(logarithms.logarithm_10, np.log10, mp.log10, _positive),
    "pow": Tried(logarithms.power, np.power, mp.power, _powers),
    "sin": Tried(sines.sine, np.sin, mp.sin, _angles),
    "cos": Tried(sines.cosine, np.cos, mp.cos, _angles),
    "tan": Tried(sines.tangent, np.tan, mp.tan, _angles),
    "asin": Tried(arcs.arc_sine, np.arcsin, mp.asin, _ratios),
    "acos": Tried(arcs.arc_cosine, np.arccos, mp.acos, _ratios),
    "atan": Tried(arcs.arc_tangent, np.arctan, mp.atan, _any),
    "atan2": Tried(arcs.arc_tangent_2, np.arctan2, mp.atan2, _points),
    "radians": Tried(angles.in_radians, lambda x: x * (PI_WIDE / 180), lambda x: x * mp.pi / 180, _any),
    "degrees": Tried(angles.in_degrees, lambda x: x * (180 / PI_WIDE), lambda x: x * 180 / mp.pi, _any),
    "haversine": Tried(angles.great_circle, _wide_distance, exact_distance, _places),
}


@cache
def compiled(kernel: Any) -> Callable[..., Floats]:
    """The function on arrays, as compiled for this machine."""
    step = numba.njit(error_model="numpy")(kernel.plain)
    looped = numba.vectorize(nopython=True)(_on_floats(step, kernel.plain.__code__.co_argcount))
    return np.errstate(all="ignore")(lambda *given: np.asarray(looped(*given)))


def _on_floats(step: Any, arguments: int) -> Callable[..., Any]:
    """A function of so many floats that calls the compiled step."""
    if arguments == 1:
        return lambda a: step(a)
    return (lambda a, b: step(a, b)) if arguments == 2 else (lambda a, b, c, d: step(a, b, c, d))


def error(got: float, right: Any) -> float:
    """The error in units in the last place of the float nearest to what is right; infinite if one of them is too large
    for a float, or no number, and not the other."""
    nearest = float(right)
    if not (math.isfinite(got) and math.isfinite(nearest)):
        return 0.0 if got == nearest or (math.isnan(got) and math.isnan(nearest)) else math.inf
    return float(abs(mp.mpf(got) - right) / mp.mpf(float(np.spacing(abs(nearest)))))


def run(budget: int, seed: int) -> Report:
    """Try ``budget`` arguments of each function, drawn from ``seed``."""
    report = Report()
    for number, (name, tried) in enumerate(FUNCTIONS.items()):
        rng, function = np.random.default_rng([seed, number]), compiled(tried.kernel)
        worst, where, left = 0.0, "", budget
        while left > 0:
            n = min(BATCH, left)
            left -= n
            arguments = tried.drawn(rng, n)
            got = function(*arguments)
            for i in _suspects(tried, arguments, got, rng):
                given = [float(a[i]) for a in arguments]
                found = error(float(got[i]), tried.exact(*(mp.mpf(x) for x in given)))
                if found > worst or math.isnan(found):
                    worst, where = found, f"{name}({', '.join(map(repr, given))}) = {float(got[i])!r}"
            report.count(name, n)
        report.seen[f"{name}: greatest error, ulp / 10,000"] = round(min(worst, 1e9) * 10_000)
        if not worst <= BOUND:
            report.failures.append(f"{where}: an error of {worst:.4f} units in the last place")
    return report


def _suspects(tried: Tried, arguments: tuple[Floats, ...], got: Floats, rng: np.random.Generator) -> Any:
    some = rng.integers(0, len(got), min(20, len(got)))
    if not WIDE:
        return range(len(got))
    with np.errstate(all="ignore"):
        right = tried.wide(*(a.astype(Wide) for a in arguments))
        away = np.abs(got.astype(Wide) - right) / np.spacing(np.abs(right.astype(np.float64))).astype(Wide)
    # Too large or no number: of the same kind. The largest float and what is above are left to mpmath.
    away = np.where(np.isfinite(away), away, np.where(np.isnan(got) == np.isnan(right), 0, 1))
    return np.concatenate([np.argsort(-away)[:JUDGED], some])
