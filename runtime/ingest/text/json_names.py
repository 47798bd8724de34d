"""The names in a text's records: a tree that the scanner follows, and their columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from runtime.ingest.text.column_names import UNWANTED, Names
from runtime.ingest.text.json_scanner import WHOLE, hash_of_name
from runtime.ingest.text.json_strict import name_fault

MAX_NODES = 1 << 14
"""Maximum names known at once; then all are forgotten and learned again. Names of rejected records count, too."""

NO_COLUMN = -2


class NameTree:
    """Nodes for names within objects, columns for dotted names; column 0 is the key, column 1 the time."""

    def __init__(self, names: Names) -> None:
        self.nodes = np.zeros((64, 5), np.int64)  # parent, start and length of the name, column, likely next node
        self.text = np.zeros(1 << 10, np.uint8)
        self.table = np.zeros(256, np.int64)
        self.stamps = np.zeros(64, np.int64)
        self._names = names
        self.column_names = list(names.first)
        self._columns = {name: at for at, name in enumerate(names.first)}
        self._paths: list[str | None] = [""]
        self._used = 0
        self._nodes: dict[tuple[int, bytes], int] = {}

    @property
    def columns(self) -> int:
        """How many columns there are."""
        return len(self.column_names)

    @property
    def full(self) -> bool:
        """Whether no more names are learned: records with other names are read slowly, until all names are
        forgotten."""
        return len(self._paths) >= MAX_NODES or len(self.column_names) >= MAX_NODES

    def column(self, name: str, learn: bool = True) -> int | None:
        """The column of a field's dotted name, new if necessary; ``UNWANTED`` if it is not taken, or is new and not to
        be learned; None if there are too many."""
        taken = name if self._names.is_plain else self._names.column(name)
        if taken is None:
            return UNWANTED
        at = self._columns.get(taken)
        if at is None:
            if len(self.column_names) >= MAX_NODES:
                return None if learn else UNWANTED
            at = self._columns[taken] = len(self.column_names)
            self.column_names.append(taken)
        return at

    def learn(self, record: Mapping[str, Any], depth: int, parent: int = 0) -> None:
        """Learn all names of a record that the scanner would stop at, in their order."""
        for name, value in record.items():
            if self.full:
                return
            raw = name.encode("utf-8", "replace")
            if orjson.dumps(raw.decode()) != b'"' + raw + b'"':
                continue  # the scanner leaves names with escapes to the strict reader
            node = self._nodes.get((parent, raw)) or self.add(parent, raw)
            if isinstance(value, dict) and depth > 1 and self.nodes[node, 3] != WHOLE:
                self.learn(value, depth - 1, node)

    def add(self, parent: int, raw: bytes) -> int:
        """Learn a name within a node; returns its own."""
        node = self._nodes[parent, raw] = len(self._paths)
        if node >= len(self.nodes):
            self.nodes = np.concatenate([self.nodes, np.zeros_like(self.nodes)])
            self.stamps = np.concatenate([self.stamps, np.zeros_like(self.stamps)])
        if self._used + len(raw) > len(self.text):
            self.text = np.concatenate([self.text, np.zeros(len(self.text) + len(raw), np.uint8)])
        above = self._paths[parent]
        name = raw.decode()
        path = None if above is None or not name else f"{above}.{name}" if parent else name
        if path is not None and name_fault(path):
            path = None
        column = WHOLE if path in self._names.whole else None if path is None else self.column(path)
        if not name:  # what is in an object without a name is left out with it
            column = WHOLE
        self._paths.append(path)
        self.text[self._used : self._used + len(raw)] = np.frombuffer(raw, np.uint8)
        self.nodes[node] = (parent, self._used, len(raw), NO_COLUMN if column is None else column, 0)
        self._used += len(raw)
        if 4 * node > len(self.table):
            self.table = np.zeros(4 * len(self.table), np.int64)
            for old in range(1, node):
                self._enter(old)
        self._enter(node)
        return node

    def _enter(self, node: int) -> None:
        parent, start, length = self.nodes[node, :3].tolist()
        slot = int(hash_of_name(self.text, start, start + length, parent)) & (len(self.table) - 1)
        while self.table[slot]:
            slot = (slot + 1) & (len(self.table) - 1)
        self.table[slot] = node
