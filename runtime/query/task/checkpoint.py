"""Checkpoint of a partially completed task, as bytes, so that a later run need not read the same files again.

It contains the dictionary, the keys, every stage's state per key, the groups or rows of the last stage, and how many
rows were read of which keys, but not of which files: these rows may lie in other files by the time it is used. A scan
has no state between groups of files (``scan_order``), so continuing from this state with the remaining files equals a
run from the start, however the rows before them were grouped.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.groups import GroupState
from operators.states.strings import Words
from runtime.errors import FormatError
from runtime.query.merge.state_form import MALFORMED, check_groups, with_prefix
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.row_batch import RowBatch
from runtime.query.task.coverage import Coverage
from runtime.query.task.state_bytes import sealed, strings_of, unsealed

_MAGIC = b"ANTSTAT3"

ROWS = "rows"
"""The only entry of a stored coverage."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read back.

    ``coverage`` has one entry, ``ROWS``, until ``of_files`` says in which files, of the first ``groups`` groups, the
    rows lie now.
    """

    head: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]]
    coverage: Coverage
    groups: int = 0

    def of_files(self, rows: Mapping[str, int], groups: int) -> Checkpoint:
        """The same, of the first ``groups`` groups of files: ``rows`` of each file, by path, are in its shard."""
        return replace(self, coverage=self.coverage.of_files(rows), groups=groups)


def pack(pipeline: Pipeline, coverage: Coverage, most: int) -> bytes | None:
    """The state of ``pipeline`` after the files that ``coverage`` has; None if its arrays have more than ``most``
    bytes."""
    pipeline.flush()
    words, keys = pipeline.context.words, pipeline.context.keys
    arrays = {f"keys.{name}": values for name, values in keys.saved().items()}
    arrays |= pipeline.saved()
    head: dict[str, Any] = {"coverage": coverage.as_one(ROWS).to_dict()}
    head["grids"] = pipeline.grids()
    last = pipeline.runners[-1].groups
    if last is not None:
        state = last.export(words.strings)
        head["group_strings"] = state.strings
        arrays["group.keys"] = state.keys
        for j, values in enumerate(state.states):
            arrays |= {f"group.{j}.{name}": array for name, array in values.items()}
    if pipeline.rows is not None:
        table = pipeline.rows.table(words.strings)
        head["rows"] = [table.rows, list(table.columns)]
        for j, (_, column, valid) in enumerate(table.columns.values()):
            arrays |= {f"row.{j}.values": column, f"row.{j}.valid": valid}
    if sum(a.nbytes for a in arrays.values()) > most:
        # Serialising it would need several copies in memory.
        return None
    # Last, because exporting may add words.
    head["strings"] = words.strings
    if (levels := words.known_levels()) is not None:
        head["levels"] = levels
    return sealed(_MAGIC, head, arrays)


def unpack(data: bytes) -> Checkpoint:
    """The checkpoint that ``pack`` wrote; FormatError if it is damaged."""
    head, arrays = unsealed(_MAGIC, data, "a cached state")
    try:
        coverage = Coverage.from_dict(head["coverage"])
        strings_of(head["strings"])
        if list(coverage.rows) != [ROWS]:
            raise ValueError("it does not say how many rows it covers")
    except MALFORMED as error:
        raise FormatError(f"a cached state is malformed: {error!r}") from error
    return Checkpoint(head, arrays, coverage)


@dataclass
class Checkpoints:
    """``task.Saving``: starts from ``start`` if given, and takes a checkpoint after each of the groups ``at``.

    At most ``most`` bytes are kept, the latest checkpoints first.
    """

    start: Checkpoint | None = None
    at: Collection[int] = ()
    most: int = 1 << 28
    taken: dict[int, bytes] = field(default_factory=dict)

    def restore_names(self, words: Words, keys: Keys) -> None:
        """Restore words first: codes of constants and keys depend on their order."""
        if self.start is None:
            return
        try:
            words.codes(self.start.head["strings"])
            words.set_levels(self.start.head.get("levels", []))
            keys.restore(with_prefix(self.start.arrays, "keys."))
        except MALFORMED as error:
            raise FormatError(f"a cached state is malformed: {error!r}") from error

    def restore(self, pipeline: Pipeline, coverage: Coverage) -> int:
        """Restore the state; FormatError if it is malformed or uses other calendars."""
        if self.start is None:
            return 0
        try:
            self._restore(self.start, pipeline)
        except MALFORMED as error:
            raise FormatError(f"a cached state is malformed: {error!r}") from error
        coverage.add(self.start.coverage)
        return self.start.groups

    def _restore(self, start: Checkpoint, pipeline: Pipeline) -> None:
        head, arrays = start.head, start.arrays
        if head["grids"] != pipeline.grids():
            raise FormatError("a cached state numbers calendar buckets differently")
        pipeline.restore(arrays)
        last = pipeline.runners[-1].groups
        if last is not None:
            count = len(last.cells.aggregates)
            states = [with_prefix(arrays, f"group.{j}.") for j in range(count)]
            state = GroupState(arrays["group.keys"], states, strings_of(head["group_strings"]))
            check_groups(last.key_types, last.cells.aggregates, state)
            last.merge(state, pipeline.context.words.codes)
        if pipeline.rows is not None:
            rows, names = head["rows"]
            columns = {name: (arrays[f"row.{j}.values"], arrays[f"row.{j}.valid"]) for j, name in enumerate(names)}
            pipeline.rows.check(rows, columns, len(pipeline.context.words))
            pipeline.rows.add(RowBatch(np.zeros(1, np.int32), np.array([rows]), np.zeros(rows, np.int64), columns))

    def passed(self, groups: int, pipeline: Pipeline, coverage: Coverage) -> None:
        """Take a checkpoint here if wanted."""
        if groups not in self.at:
            return
        state = pack(pipeline, coverage, self.most)
        if state is None:
            # Later states are hardly smaller.
            self.at = ()
            return
        self.taken[groups] = state
        while sum(map(len, self.taken.values())) > self.most:
            del self.taken[min(self.taken)]
