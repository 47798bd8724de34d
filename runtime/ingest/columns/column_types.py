"""The types of one source's columns.

A column's type is that of most of its values in a sample (see ``samples``), integers and fractions together. A value of
another type goes to a column beside it, its twin: ``value#string`` has the texts of an int64 column ``value``. An int64
column becomes float64 at its first fraction, unless an integer beyond 2^53 came before, here or in the stream.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.ingest.columns.batch import EXACT
from runtime.ingest.text.tokens import BIG, BOOL, FLOAT, INSTANT, INT, JSON, STRING

MAX_COLUMNS = 10_000
"""Columns of a stream, twins included."""

KEY_ROWS = 1 << 16
"""Maximum rows without a key before the first key settles the keys' type; beyond that, keys are text."""

TOO_MANY = f"more than {MAX_COLUMNS:,} columns"

Mask = NDArray[np.bool_]
Ints = NDArray[np.int64]

_GROUPS = {BOOL: BOOL, INT: INT, FLOAT: INT, BIG: INT, STRING: STRING, JSON: JSON, INSTANT: INSTANT}
_TYPE = {BOOL: Type.BOOL, INT: Type.INT, STRING: Type.STRING, JSON: Type.STRING, INSTANT: Type.TIME}


def commonest(counts: NDArray[np.int64], order: list[int]) -> Type | None:
    """The type of most values: ``counts`` by kind, and the kinds in the order of their first values, which decides
    between equals. None if there are none of any type."""
    totals: dict[int, int] = {}
    for kind in order:
        if kind in _GROUPS and counts[kind]:
            group = _GROUPS[kind]
            totals[group] = totals.get(group, 0) + int(counts[kind])
    return _TYPE[max(totals, key=lambda group: totals[group])] if totals else None


@dataclass
class ColumnTypes:
    """Types of the columns and of the key, and whether their integers are beyond 2^53.

    ``key_type`` None is not settled yet. ``wide`` are int64 columns with integers beyond 2^53; ``unsure`` are those for
    which only the stored points can say, by ``stored_wide``. ``keyless`` counts the rows accepted before the key's type
    was settled. ``fixed`` are columns of declared types, which stay as they are.
    """

    key: str
    key_type: Type | None
    types: dict[str, Type]
    wide: set[str] = field(default_factory=set)
    unsure: set[str] = field(default_factory=set)
    stored_wide: Callable[[str], bool] = lambda name: False
    keyless: int = 0
    fixed: set[str] = field(default_factory=set)

    def may_widen(self, name: str) -> bool:
        """Whether an int64 column may become float64; reads the stored points if only they can say."""
        if name in self.unsure and name not in self.fixed:
            self.unsure.discard(name)
            if self.stored_wide(name):
                self.wide.add(name)
        return name not in self.wide and name not in self.fixed

    def settle(self, name: str, type_: Type) -> bool:
        """Give the column this type, if it has none yet; whether it has this type now."""
        if name not in self.types:
            if len(self.types) >= MAX_COLUMNS:
                return False
            self.types[name] = type_
        return self.types[name] is type_

    def number_type(self, name: str, first_wide: int, first_real: int) -> Type:
        """The type of a number column after a batch with these rows of the first integer beyond 2^53 and the first
        fraction (none: -1)."""
        type_ = self.types[name]
        if type_ is Type.INT:
            if first_real >= 0 and not 0 <= first_wide < first_real and self.may_widen(name):
                type_ = self.types[name] = Type.FLOAT
            elif first_wide >= 0:
                self.wide.add(name)
        return type_


def beyond(values: Ints) -> Mask:
    """Which integers float64 may not represent exactly."""
    return (values > EXACT) | (values < -EXACT)
