"""Functions of texts over a task's dictionary: each is called once per word, and kernels look its value up by code.

The words that a function makes are added to the dictionary, too. So that it is not called for these in turn, words have
levels: those that are read have level 0, and those that a function makes one more than what it was applied to. A table
covers the levels that its words can have; the words of a stage's input come from the stages before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.codegen.writer import TextFunction
from dataflow.typed.nodes import Typed
from dataflow.typed.text_trees import MOST_LEVELS, level_of
from operators.states.strings import Words
from operators.types import Type
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch
from runtime.query.stages.word_functions import word_function

Codes = NDArray[np.int64]
Mask = NDArray[np.uint8]


class WordValues:
    """The values of one function of one text by code, and whether it has one."""

    def __init__(self, words: Words, table: TextFunction, lowest: int) -> None:
        self._words, self._kind, self._level = words, table.kind, lowest + table.level
        self._of = word_function(table.function, dict(table.options))
        self._done = np.zeros(64, np.bool_)
        self.values: NDArray[Any] = np.zeros(64, np.float64 if table.kind is Type.FLOAT else np.int64)
        self.valid = np.zeros(64, np.uint8)

    def update(self) -> None:
        """Call the function for the words that are new."""
        n = len(self._words)
        self.reserve(n)
        todo = np.flatnonzero(~self._done[:n] & (self._words.levels() <= self._level))
        if not len(todo):
            return
        texts = self._words.strings
        found = [self._of(texts[i]) for i in todo.tolist()]
        self.valid[todo] = [f is not None for f in found]
        if self._kind is Type.STRING:
            self.values[todo] = self._words.codes(("" if f is None else f for f in found), self._level + 1)
        else:
            self.values[todo] = [0 if f is None else f for f in found]
        self._done[todo] = True

    def reserve(self, n: int) -> None:
        """Room for ``n`` words."""
        if n > len(self._done):
            size = 2 * n
            for name in ("_done", "values", "valid"):
                old = getattr(self, name)
                grown = np.zeros(size, old.dtype)
                grown[: len(old)] = old
                setattr(self, name, grown)


class TextValues:
    """The functions of texts of one stage, which is number ``place`` of its plan."""

    def __init__(self, words: Words, place: int) -> None:
        self.words, self.lowest = words, place * MOST_LEVELS

    def table(self, table: TextFunction) -> WordValues:
        """One function."""
        self.words.levels()  # from now on the dictionary keeps them
        return WordValues(self.words, table, self.lowest)


def cover(tables: Iterable[WordValues]) -> None:
    """Work out what is missing, and leave no code of the dictionary beyond the end of a table."""
    tables = list(tables)
    if not tables:
        return
    words, before = tables[0]._words, -1
    while len(words) != before:  # a table may make words of another one that comes before it
        before = len(words)
        for table in tables:
            table.update()
    for table in tables:
        table.reserve(len(table._words))


class JoinedTexts:
    """A text that is made of two, for all rows of a batch: each pair of words is put together once."""

    def __init__(self, texts: TextValues, tree: Typed) -> None:
        self._texts, self._tree = texts, tree
        self._tables: dict[str, WordValues] = {}
        self._pairs: dict[str, dict[int, int]] = {}
        self.codes: Codes = np.zeros(1, np.int64)
        self.valid: Mask = np.zeros(1, np.uint8)

    def of(self, batch: RowBatch, keys: Keys) -> None:
        """Put the codes and validities of the rows into ``codes`` and ``valid``."""
        codes, valid = self._evaluated(self._tree, batch, keys)
        self.codes = np.ascontiguousarray(np.broadcast_to(codes, (max(batch.rows, 1),)))
        self.valid = np.ascontiguousarray(np.broadcast_to(valid, (max(batch.rows, 1),)))

    def _evaluated(self, e: Typed, batch: RowBatch, keys: Keys) -> tuple[Codes, Mask]:
        """Codes and validities of a tree of texts: one entry per row, or one for all."""
        if e.fn == "in":
            codes, valid = batch.columns[str(e.option("name"))]
            return codes.astype(np.int64), valid
        if e.fn == "slot":
            return np.repeat(keys.values[batch.run_slot], batch.run_len), np.ones(1, np.uint8)
        if e.fn == "lit":
            return np.array([self._texts.words.code(str(e.option("value")))], np.int64), np.ones(1, np.uint8)
        parts = [self._evaluated(a, batch, keys) for a in e.args]
        if e.fn == "joined":
            (a, ka), (b, kb) = parts
            valid = (ka & kb).astype(np.uint8)
            return self._joined(e, np.where(valid, (a << 32) | b, -1)), valid
        (codes, valid) = parts[0]
        table = self._tables.get(repr(e))
        if table is None:
            assert e.type is not None
            table = self._tables[repr(e)] = self._texts.table(
                TextFunction(e.fn, e.options, e.type, level_of(e.args[0]))
            )
        cover([table])
        known = np.where(valid, codes, 0)
        return table.values[known].astype(np.int64), table.valid[known] & valid

    def _joined(self, e: Typed, pairs: Codes) -> Codes:
        known, words = self._pairs.setdefault(repr(e), {-1: 0}), self._texts.words
        distinct, place = np.unique(pairs, return_inverse=True)
        new = [p for p in distinct.tolist() if p not in known]
        texts = [words.strings[p >> 32] + words.strings[p & 0xFFFFFFFF] for p in new]
        known.update(zip(new, words.codes(texts, self._texts.lowest + level_of(e)).tolist(), strict=True))
        return np.array([known[p] for p in distinct.tolist()], np.int64)[place.reshape(-1)]
