"""Values of one numeric type in a column of another, where one of them is a decimal: exactly, or in a twin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import decimal_text
from operators.types import Type
from runtime.ingest.tabular.decoded import Decoded, Mask, WordsOf, with_texts

_MOST = 2**63 - 1
_DIGITS = 10**15
"""Decimals of fewer units have at most 15 digits, so no two of them have the same nearest float."""


def fitted(column: Decoded, type_: Type, name: str, words: WordsOf) -> Decoded | None:
    """The column with the type that the stream has; values that it cannot hold exactly go to twins. None where this
    depends on more than the values.

    A float is read as its shortest decimal, and a decimal becomes the float whose shortest decimal it is.
    """
    places, goal = _places(column.type), _places(type_)
    if goal is None or (places is None and column.type is not Type.FLOAT):
        if type_ is Type.FLOAT and column.type.places is not None:
            return _as_floats(column, column.type.places, name, words)
        return None
    if column.type is Type.FLOAT:
        return _of_floats(column, type_, goal) if type_.places is not None else None
    assert places is not None
    values = column.values.astype(np.int64, copy=False)
    by = 10 ** abs(goal - places)
    if goal >= places:
        fit = (values <= _MOST // by) & (values >= -(_MOST // by))
        found = np.where(fit, values, 0) * by
    else:
        fit = values % by == 0
        found = values // by
    return _fit(replace(column, type=type_, values=found), values, fit, places, name, words)


def _places(kind: Type) -> int | None:
    return 0 if kind is Type.INT else kind.places


def _as_floats(column: Decoded, places: int, name: str, words: WordsOf) -> Decoded:
    values = column.values.astype(np.int64, copy=False)
    fit = (values < _DIGITS) & (values > -_DIGITS)
    return _fit(replace(column, type=Type.FLOAT, values=values / 10.0**places), values, fit, places, name, words)


def _fit(column: Decoded, units: NDArray[np.int64], fit: Mask, places: int, name: str, words: WordsOf) -> Decoded:
    bad = ~fit if column.valid is None else ~fit & column.valid
    odd = {row: decimal_text(int(units[row]), places) for row in np.flatnonzero(bad).tolist()}
    return with_texts(column, odd, name, words)


def _of_floats(column: Decoded, type_: Type, places: int) -> Decoded:
    power = 10.0**places
    with np.errstate(over="ignore", invalid="ignore"):
        units = np.rint(column.values * power)
        fit = (np.abs(units) < _DIGITS) & (units / power == column.values)
    valid = fit if column.valid is None else fit & column.valid
    rest = ~fit if column.valid is None else ~fit & column.valid
    found = replace(column, type=type_, values=np.where(valid, units, 0).astype(np.int64), valid=valid)
    if not rest.any():
        return replace(found, valid=column.valid)
    twin = Decoded(Type.FLOAT, np.where(rest, column.values, 0.0), rest)
    return replace(found, twins={**column.twins, "float64": twin})
