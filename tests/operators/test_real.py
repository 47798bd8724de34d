"""exp, log, sin and the like against mpmath: special values, hard cases, drawn numbers; rounding by ``decimal``."""

from __future__ import annotations

import math
import re
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

import mpmath
import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from llvmlite.binding import ObjectFileRef

from operators.compiler import object_code, shared_object
from operators.compiler.build import build
from operators.compiler.link import has_linker
from operators.compiler.targets import TARGETS, host
from operators.kernels import foreign
from operators.kernels.real import angles, arcs, exact_tables, exponentials, logarithms, round_numbers, sines
from tests.campaigns.reals import BOUND, FUNCTIONS, compiled, error, mp

INF, NAN, LARGEST, LEAST = math.inf, math.nan, 1.7976931348623157e308, 5e-324

COMPILED = {name: compiled(tried.kernel) for name, tried in FUNCTIONS.items()}


@numba.njit
def _rounded(x: Any, unit: Any, places: Any) -> Any:
    return round_numbers.rounded_float(x, unit, places)


@numba.njit
def _halved(elapsed: Any, half_life: Any) -> Any:
    return exponentials.halved(elapsed, half_life)


HARD = {
    "exp": [(1e-300,), (-745.13,), (-708.4,), (709.782712893384,), (2.0**-54,), (-1.0,), (-740.0,), (7.53e-10,)],
    "log": [(LEAST,), (LARGEST,), (1 + 2.0**-52,), (1 - 2.0**-53,), (2.0,), (math.sqrt(2),), (2.2250738585072e-308,)],
    "log2": [(2.0**-1074,), (1024.0,), (1 + 2.0**-52,), (3.0,)],
    "log10": [(1e22,), (1e-5,), (1 - 2.0**-53,), (1e300,)],
    "pow": [
        (1 + 2.0**-52, 2.0**52), (1 - 2.0**-53, -(2.0**60)), (2.0, -1074.0), (2.0, 1023.0), (-3.0, 3.0), (10.0, 22.0),
        (0.1, 300.0), (LEAST, -0.99), (1.0000000000000002, 1e18), (5.0, -441.0), (LARGEST, 0.5), (2.5, 1e-320),
    ],
    # The floats nearest to multiples of pi/2 (J.-M. Muller, "Elementary Functions"), and large ones.
    "sin": [(6381956970095103 * 2.0**797,), (1e22,), (math.pi,), (LARGEST,), (2.0**-27,), (355.0,), (0.785,)],
    "cos": [(6381956970095103 * 2.0**797,), (5.319372648326541e255,), (math.pi / 2,), (LARGEST,), (0.0,), (11.0,)],
    "tan": [(6381956970095103 * 2.0**797,), (math.pi / 2,), (math.pi / 4,), (LARGEST,), (2.0**-27,), (0.7854,)],
    "asin": [(1.0,), (1 - 2.0**-53,), (0.5,), (2.0**-27,), (-LEAST,), (2.0**-0.5,)],
    "acos": [(1.0,), (-1.0,), (1 - 2.0**-53,), (-1 + 2.0**-53,), (LEAST,), (2.0**-61,), (2.0**-0.5,)],
    "atan": [(LARGEST,), (2.0**60,), (1.0,), (2.0**-60,), (LEAST,), (-(2.0**53),), (1 + 2.0**-52,)],
    "atan2": [
        (LEAST, LARGEST), (LARGEST, LEAST), (LEAST, LEAST), (LARGEST, LARGEST), (-1.0, -(2.0**60)), (1.0, -1.0),
        (0.0, -1.0), (1e-310, 1e-309), (3e-308, 1.0), (1.0, 2.0**61), (-2.0, 0.0),
    ],
    "radians": [(180.0,), (LEAST * 100,), (LARGEST,), (1e-306,), (-90.0,)],
    "degrees": [(math.pi,), (LEAST,), (3.1e306,), (-1e-310,)],
    "haversine": [
        (0.0, 0.0, 0.0, 180.0), (90.0, 0.0, -90.0, 33.0), (51.5, -0.1, 51.51, -0.11), (0.0, 0.0, 1e-130, 0.0),
        (10.0, 20.0, -10.0, -159.9999999999), (89.9999999, 0.0, 89.9999999, 180.0),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, listed in HARD.items() for given in listed])
def test_hard_cases(name: str, given: tuple[float, ...]) -> None:
    got = float(COMPILED[name](*given))
    assert error(got, FUNCTIONS[name].exact(*map(mp.mpf, given))) <= BOUND


SPECIAL = {
    "exp": [(0.0, 1.0), (-0.0, 1.0), (710.0, INF), (INF, INF), (-INF, 0.0), (-746.0, 0.0), (NAN, INF)],
    "log": [(1.0, 0.0), (0.0, NAN), (-1.0, NAN), (INF, NAN), (NAN, NAN)],
    "log2": [(8.0, 3.0), (2.0**-1074, -1074.0), (0.0, NAN)],
    "log10": [(1000.0, 3.0), (1e-3, -3.0), (-1.0, NAN)],
    "sin": [(0.0, 0.0), (LEAST, LEAST), (INF, NAN), (NAN, NAN)],
    "cos": [(0.0, 1.0), (LEAST, 1.0), (-INF, NAN)],
    "tan": [(0.0, 0.0), (-LEAST, -LEAST), (INF, NAN)],
    "asin": [(0.0, 0.0), (1.0, math.pi / 2), (1 + 2.0**-52, NAN), (NAN, NAN)],
    "acos": [(1.0, 0.0), (-1.0, math.pi), (-1 - 2.0**-52, NAN), (INF, NAN)],
    "atan": [(0.0, 0.0), (INF, math.pi / 2), (-INF, -math.pi / 2), (NAN, NAN)],
    "radians": [(0.0, 0.0), (INF, NAN), (180.0, math.pi)],
    "degrees": [(0.0, 0.0), (LARGEST, INF), (math.pi, 180.0)],
}


@pytest.mark.parametrize(
    ("name", "x", "right"), [(n, x, right) for n, listed in SPECIAL.items() for x, right in listed]
)
def test_special_values(name: str, x: float, right: float) -> None:
    np.testing.assert_equal(float(COMPILED[name](x)), right)


def test_exact_powers() -> None:
    for x, y in [
        (3.0, 4.0),
        (2.0, -3.0),
        (0.5, 20.0),
        (-2.0, 63.0),
        (10.0, 15.0),
        (6.25, 0.5),
        (27.0, 0.0),
        (0.0, 0.0),
    ]:
        assert COMPILED["pow"](x, y) == math.pow(x, y)
    for x, y, right in [
        (0.0, -1.0, INF),
        (0.0, 2.0, 0.0),
        (-8.0, 1 / 3, NAN),
        (-1.0, 1e300, 1.0),
        (-2.0, 1025.0, -INF),
    ]:
        np.testing.assert_equal(float(COMPILED["pow"](x, y)), right)


def test_places_that_are_none() -> None:
    for lat, lon in ((90.5, 0.0), (0.0, 360.5), (NAN, 0.0), (INF, 0.0)):
        assert math.isnan(COMPILED["haversine"](lat, lon, 0.0, 0.0))
    assert COMPILED["haversine"](12.5, 179.0, 12.5, -181.0) == 0.0


@pytest.mark.parametrize("name", FUNCTIONS)
def test_drawn_numbers(name: str) -> None:
    """A few, of each kind; ``python -m tests.campaigns reals`` draws millions."""
    tried, rng = FUNCTIONS[name], np.random.default_rng(0)
    given = tried.drawn(rng, 400)
    got = COMPILED[name](*given)
    for *arguments, found in zip(*given, got, strict=True):
        assert error(float(found), tried.exact(*(mp.mpf(float(a)) for a in arguments))) <= BOUND, (name, arguments)


@given(st.integers(0, 10**15), st.integers(1, 10**12))
@example(0, 1)
@example(1074, 1)
@example(1100, 1)
@example(10**15, 1)
def test_halves(elapsed: int, half_life: int) -> None:
    exact = mp.mpf(2) ** -(mp.mpf(elapsed / half_life)) if elapsed / half_life < 1200 else mp.mpf(0)
    assert error(float(_halved(elapsed, half_life)), exact) <= BOUND


FINITE = st.floats(allow_nan=False, allow_infinity=False)
FEW_PLACES = st.builds(lambda n, p: float(Decimal(n).scaleb(-p)), st.integers(-(10**17), 10**17), st.integers(0, 20))


@given(FINITE | FEW_PLACES, st.integers(-9, 18))
@example(1.005, 2)
@example(2.675, 2)
@example(-0.5, 0)
@example(1234567890123456.75, 0)
@example(12345678901234567e2, -3)
@example(1.2345678901234567, 16)
@example(5e-324, 18)
@example(5e-19, 18)
@example(9007199254740993.0, 0)
def test_rounding_is_that_of_the_shortest_decimal(x: float, places: int) -> None:
    step = Decimal(1).scaleb(-places)
    right = float(Decimal(repr(x)).quantize(step, ROUND_HALF_UP, Context(prec=400)))
    np.testing.assert_equal(float(_rounded(x, float(10 ** abs(places)), places)), right)


def test_tables() -> None:
    """The first 180 bits are right."""
    with mpmath.workprec(260):
        near = lambda got, right: abs(mpmath.mpf(got) / exact_tables.ONE - right) < mpmath.mpf(2) ** -180  # noqa: E731
        x = exact_tables.fixed(0.71875)
        sine, cosine = exact_tables.sine_cosine_of(x)
        assert near(sine, mpmath.sin(0.71875))
        assert near(cosine, mpmath.cos(0.71875))
        assert near(exact_tables.exp_of(x), mpmath.exp(0.71875))
        assert near(exact_tables.log_of(x), mpmath.log(0.71875))
        assert near(exact_tables.atan_of(x), mpmath.atan(0.71875))
        assert near(exact_tables.atan_of(exact_tables.ONE), mpmath.pi / 4)
        assert near(exact_tables.PI, mpmath.pi)
        assert near(exact_tables.LN10, mpmath.log(10))


def all_of_them(x: Any, y: Any, out: Any) -> Any:
    for i in range(x.shape[0]):
        a, b = x[i], y[i]
        out[0, i], out[1, i], out[2, i] = (
            exponentials.exponential(a),
            logarithms.logarithm(a),
            logarithms.logarithm_2(a),
        )
        out[3, i], out[4, i], out[5, i] = logarithms.logarithm_10(a), logarithms.power(a, b), sines.sine(a)
        out[6, i], out[7, i], out[8, i] = sines.cosine(a), sines.tangent(a), arcs.arc_sine(a)
        out[9, i], out[10, i], out[11, i] = arcs.arc_cosine(a), arcs.arc_tangent(a), arcs.arc_tangent_2(a, b)
        out[12, i], out[13, i] = angles.in_radians(a), angles.in_degrees(a)
        out[14, i] = angles.great_circle(a, b, b, a)
        out[15, i] = round_numbers.rounded_float(a, 100.0, 2)
        out[16, i], out[17, i] = exponentials.weighted_mean(a, b, i, 7), foreign.square_root(a)
    return x.shape[0]


SIGNATURE = "i8(f8[::1], f8[::1], f8[:,::1])"


@pytest.mark.skipif(not has_linker(), reason="no C compiler to link with (cc, gcc or clang)")
def test_the_same_bits_in_a_shared_object(tmp_path: Path) -> None:
    """And in Python, where nothing is compiled."""
    build(all_of_them, SIGNATURE, tmp_path / "all.so", host())
    linked = shared_object.Native(tmp_path / "all.so", SIGNATURE)
    jitted = numba.njit(SIGNATURE, error_model="numpy")(all_of_them)
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.uniform(-1, 1, 300), rng.uniform(-800, 800, 300), np.exp(rng.uniform(-700, 700, 300))])
    y = rng.permutation(x)
    found = [np.zeros((18, len(x))) for _ in range(3)]
    with np.errstate(all="ignore"):
        for run, out in zip((linked, jitted), found, strict=False):
            run(x, y, out)
        all_of_them(x[::9], y[::9], found[2])
    assert found[0].tobytes() == found[1].tobytes()
    all_of_them_again = np.zeros((18, len(x)))
    jitted(np.ascontiguousarray(x[::9]), np.ascontiguousarray(y[::9]), all_of_them_again)
    np.testing.assert_array_equal(found[2], all_of_them_again)


def test_nothing_is_fused_or_borrowed() -> None:
    """The code for arm64 has no fused multiply-add, scalar or vector; none calls a library."""
    text = object_code.intermediate(all_of_them, SIGNATURE)
    declared = set(re.findall(r"^declare [^@]*@([\w.\"]+)", text, re.M))
    assert declared <= {f"llvm.{f}.f64" for f in ("floor", "ceil", "rint", "fabs", "sqrt", "copysign")} | {
        name for name in declared if name.startswith(("llvm.smax", "llvm.smin", "llvm.lifetime", "llvm.memset"))
    }
    found = ObjectFileRef.from_data(object_code.emitted(text, TARGETS["arm64"]))
    code = b"".join(s.data() for s in found.sections() if s.is_text())
    words = np.frombuffer(code[: len(code) // 4 * 4], np.uint32)
    assert len(words) > 1000
    scalar = words >> 24 == 0x1F
    vector = (words & 0xBFA0FC00 == 0x0E20CC00) | (words & 0xBFA0FC00 == 0x0EA0CC00)
    assert not scalar.any()
    assert not vector.any()
