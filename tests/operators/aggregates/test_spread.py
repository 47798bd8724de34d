"""Variances of many groups at once, against fractions and decimals."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from numpy.typing import NDArray

from operators.aggregates import spread
from operators.aggregates.spread import AGGREGATES, _float_step, _int_step
from operators.contract import Aggregate
from operators.sums.floats import FloatAccumulator
from operators.sums.rounding import settle_pair
from operators.sums.windowed import Accumulator
from operators.types import DECIMALS, Type


@numba.njit
def _fold_floats(values: Any, n: Any, rows: Any, log: Any, used: Any, squares: Any, slog: Any, sused: Any) -> None:
    for g in range(values.shape[0]):
        for x in values[g]:
            if x == x:
                _float_step(g, n, rows, log, used, squares, slog, sused, x)


@numba.njit
def _fold_ints(values: Any, low: Any, high: Any, n: Any, rows: Any, log: Any, used: Any) -> None:
    for g in range(values.shape[0]):
        for x in values[g]:
            _int_step(g, low, high, n, rows, log, used, x)


def aggregate(name: str, of: Type, ddof: int) -> Aggregate:
    found = next(a for a in AGGREGATES if (a.name, a.argument) == (name, of))
    assert found.configured is not None
    return found.configured({"ddof": ddof})


def finished(name: str, values: NDArray[Any], ddof: int, whole: Type = Type.INT) -> tuple[list[float], list[bool]]:
    """The aggregate of every row of values, of which NaNs are none; whole ones are of type ``whole``."""
    groups, everything = len(values), np.arange(len(values))
    n = np.zeros(groups, np.int64)
    if values.dtype == np.float64:
        sums, squares = FloatAccumulator(groups, values.size), Accumulator(groups, 9, -2148, 4 * values.size)
        _fold_floats(values, n, sums.rows, sums.log, sums.used, squares.rows, squares.log, squares.used)
        state: dict[str, Any] = {"n": n, "sum": sums.totals(everything)}
    else:
        squares = Accumulator(groups, 7, 0, 4 * values.size)
        low, high = np.zeros(groups, np.int64), np.zeros(groups, np.int64)
        _fold_ints(values, low, high, n, squares.rows, squares.log, squares.used)
        settle_pair(low, high)
        state = {"n": n, "low": low, "high": high}
    kind = Type.FLOAT if values.dtype == np.float64 else whole
    out, valid = aggregate(name, kind, ddof).finish(state | {"squares": squares.totals(everything)})
    assert valid is not None
    return out.tolist(), valid.tolist()


def expected(name: str, values: list[Any], ddof: int) -> float | None:
    """By the definition, with means as fractions."""
    numbers = [Fraction(v) for v in values if v == v]
    if len(numbers) <= ddof:
        return None
    mean = sum(numbers, Fraction(0)) / len(numbers)
    variance = sum((x - mean) ** 2 for x in numbers) / (len(numbers) - ddof)
    if name == "variance":
        return float(variance)
    with localcontext() as context:
        context.prec = 400
        return float((Decimal(variance.numerator) / Decimal(variance.denominator)).sqrt())


def families(rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    shape = (100, 7)
    values = rng.normal(size=shape)
    gaps = np.where(rng.random(shape) < 0.5, np.nan, values)
    far = np.ldexp(1 + rng.integers(-3, 4, shape) * 2.0**-52, rng.integers(-50, 50, (100, 1)))
    # Variances of two that are just beyond the middle of two floats, by less than a double-double can show.
    odd = 2 * rng.integers(2**26 * 3 // 4, 2**26, 100) + 1.0
    ties = np.stack([2 * odd, rng.choice([0.0, 2.0**-100, -(2.0**-100)], 100)], axis=1)
    return {
        "telemetry": np.round(rng.normal(20, 8, shape), 1),
        "with gaps": gaps,
        "all alike": np.repeat(rng.normal(size=(100, 1)), 7, axis=1),
        "differ in their last bits": far,
        "of all sizes": np.ldexp(values, rng.integers(-500, 500, (100, 1))),
        "with squares that are hardly floats": np.ldexp(values, rng.integers(-540, -500, (100, 1))),
        "far apart": np.ldexp(values, rng.integers(-300, 300, shape)),
        "ties": ties,
        "whole": rng.integers(-1000, 1000, shape),
        "large and whole": rng.integers(-(2**62), 2**62, shape),
        "whole and alike": 2**60 + rng.integers(0, 3, shape),
    }


@pytest.mark.parametrize("ddof", [0, 1])
@pytest.mark.parametrize("name", ["variance", "stddev"])
@pytest.mark.parametrize("family", families(np.random.default_rng(1)))
def test_many_groups_at_once(family: str, name: str, ddof: int) -> None:
    values = families(np.random.default_rng(1))[family]
    out, valid = finished(name, values, ddof)
    for got, there, row in zip(out, valid, values.tolist(), strict=True):
        want = expected(name, row, ddof)
        assert there == (want is not None)
        assert want is None or got == want


@pytest.mark.parametrize("kind", DECIMALS)
def test_decimals(kind: Type) -> None:
    values = np.random.default_rng(3).integers(-(10**12), 10**12, (100, 5))
    out, _ = finished("stddev", values, 1, kind)
    unit = 10 ** (kind.places or 0)
    assert out == [expected("stddev", [Fraction(v, unit) for v in row], 1) for row in values.tolist()]


@pytest.mark.parametrize("name", ["variance", "stddev"])
def test_few_are_left_to_integers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    exactly = []
    nearly = spread._nearly

    def watched(*args: Any) -> Any:
        found = nearly(*args)
        exactly.append(int((~found[1]).sum()))
        return found

    monkeypatch.setattr(spread, "_nearly", watched)
    for family in ("telemetry", "whole", "large and whole"):
        finished(name, families(np.random.default_rng(2))[family], 1)
    assert exactly == [0, 0, 0]
