"""Columns of values joined to one text, ``"a > b > c"``: a kernel numbers sequences of values, this writes them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import JoinedValues
from dataflow.times.durations import written_duration
from operators.aggregates.json_values import from_bits
from operators.states.pairs import Pairs
from operators.states.strings import Words
from operators.types import Type
from runtime.query.stages.row_batch import VALID, Values

SEPARATOR = " > "

_MORE = "..."
"""Ends a text of which the sequence goes on."""


class ValueJoiner:
    """Writes the texts of one column, as codes of the task's dictionary."""

    def __init__(self, joined: JoinedValues, pairs: Pairs, words: Words) -> None:
        self._joined, self._pairs, self._words = joined, pairs, words
        self._codes: dict[int, int] = {}
        self._values: dict[int, str] = {}

    @property
    def name(self) -> str:
        """The column's name."""
        return self._joined.name

    def texts(self, columns: Mapping[str, Values]) -> Values:
        """The column of these rows."""
        nodes = columns[self._joined.node][0]
        cut = np.zeros(len(nodes), np.bool_) if self._joined.cut is None else columns[self._joined.cut][0] != 0
        each, at = np.unique(nodes * 2 + cut, return_inverse=True)
        wanted = each.tolist()
        # At once: to add words one by one takes time for each that is there.
        new = [n for n in wanted if n not in self._codes]
        self._codes |= zip(new, self._words.codes(map(self._text, new)).tolist(), strict=True)
        return np.array([self._codes[n] for n in wanted], np.int64)[at], VALID

    def _text(self, number: int) -> str:
        """The text of a sequence: the number is twice that of the sequence, and one more if it goes on."""
        parts, at = [_MORE] if number & 1 else [], number >> 1
        while at > 0:
            at, value = self._pairs.keys[at - 1].tolist()
            parts.append(self._value(value))
        return SEPARATOR.join(reversed(parts))

    def _value(self, word: int) -> str:
        found = self._values.get(word)
        if found is None:
            found = self._values[word] = value_text(self._joined.kind, word, self._words.strings)
        return found

    def check(self, states: Mapping[str, NDArray[Any]]) -> None:
        """ValueError if restored pairs are no sequences of values."""
        keys, n = self._pairs.keys[: len(self._pairs)], len(self._pairs)
        before, values = keys[:, 0], keys[:, 1]
        known = len(self._words) if self._joined.kind is Type.STRING else None
        if n and not (before.min() >= 0 and (before <= np.arange(n)).all()):
            raise ValueError("the sequences of values are malformed")
        if n and known is not None and not 0 <= values.min() <= values.max() < known:
            raise ValueError("the sequences of values have indices out of range")
        nodes = states.get("z_node", np.zeros(0, np.int64))
        if nodes.size and not 0 <= nodes.min() <= nodes.max() <= n:
            raise ValueError("the sequences of keys are malformed")


def value_text(kind: Type, word: int, strings: list[str]) -> str:
    """One value as text: a time in ISO 8601, a length like ``5m``, numbers as in JSON."""
    if kind is Type.DURATION:
        return "0s" if word == 0 else f"-{written_duration(-word)}" if word < 0 else written_duration(word)
    found = from_bits(kind, word, strings)
    return str(found).lower() if isinstance(found, bool) else repr(found) if isinstance(found, float) else str(found)
