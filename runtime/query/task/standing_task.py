"""A task that goes on for as long as its answer is followed: new rows are folded into the state of their keys.

Rows that are later than all others of their key go on where these ended. A key with a row that is not is worked out
again, alone, from the files: what its rows had added to the groups is taken away, and what they add now put in its
place. So each key's rows have been folded in order, as in a run from the start.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from runtime.catalogue import FileEntry
from runtime.helpers import go_on
from runtime.pointfile import PointFile, borrowed
from runtime.query.scan.joined_batches import OpenSmall
from runtime.query.scan.scanning import Scan, scan_order, without_keys
from runtime.query.scan.some_keys import SomeKeys, before
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.replaced_keys import GroupChange, are_sums, held, replace_keys
from runtime.query.stages.row_batch import RowBatch, copied
from runtime.query.stages.runner import Runner
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial
from runtime.query.task.task import Compiled, Task, scan_specs

_NEVER = -(2**62)

OpenFile = Callable[[FileEntry], PointFile]


class StandingTask:
    """``task``, if it ``stands``."""

    def __init__(self, task: Task, compiled: Compiled, open_file: OpenFile) -> None:
        self._task, self._compiled, self._open = task, compiled, open_file
        schemas = task.schemas
        schema = schemas[task.stream]
        # All times are needed: those of rows that repeat the row before them, too.
        self._spec = replace(scan_specs(task, schemas, compiled.plan)[task.stream], elision=None, times=True)
        self._resolves = schema.duplicates != "keep"
        words = Words()
        self._keys = Keys(schema.key_type, words, task.shard)
        first = min([task.since, *(f.t_min for f in task.files)])
        self._context = TaskContext(words, self._keys, task.since, task.until, None, first, task.beginning)
        self._pipeline = self._new_pipeline(self._context)
        self._last = np.zeros(0, np.int64)
        """The time of each key's last row."""

        self._coverage = Coverage()
        """Only its counts are used."""

        self.had_late_rows = False

    @property
    def stands(self) -> bool:
        """Whether all of its state is of single keys, or sums of what each key adds."""
        p = self._pipeline
        by_key = len(_runners(p)) == len(p.runners) and not p.whole and not p.pasts and p.rows is None
        return by_key and not self._compiled.plan.whole_keys and are_sums(self._compiled.plan)

    @property
    def nbytes(self) -> int:
        """Bytes of what it remembers."""
        states = [array for runner in _runners(self._pipeline) for array in runner.key_state.arrays.values()]
        groups = [runner.groups.nbytes for runner in _runners(self._pipeline) if runner.groups is not None]
        return self._keys.nbytes + self._last.nbytes + sum(a.nbytes for a in states) + sum(groups)

    def begin(self, files: Sequence[FileEntry]) -> None:
        """Fold the rows of the files."""
        with borrowed() as buffers:
            scan = Scan(self._spec, self._keys, self._context.words, self._open, buffers, self._small)
            for chunk in self._chunks(scan, files):
                self._pipeline.push(chunk)
                self._see(chunk)
        self._count(scan.coverage)

    def go_on(self, files: Sequence[FileEntry], new: Sequence[FileEntry], until: int, most: int) -> bool:
        """Fold the rows of the ``new`` files, where those of ``files`` are folded; the range ends at ``until`` now.

        False if that cannot be done, or if more than ``most`` rows had to be searched for those of some keys: then the
        task is of no more use."""
        self._context = replace(self._context, until=until)
        self._spec = replace(self._spec, until=until)
        for runner in _runners(self._pipeline):
            runner.move_end(until)
        with borrowed() as buffers:
            scan = Scan(self._spec, self._keys, self._context.words, self._open, buffers, self._small)
            chunks = [copied(chunk) for chunk in self._chunks(scan, new)]
        late = self._late(chunks)
        if late.any():
            self.had_late_rows = True
            too_many = sum(f.rows for f in files) > most
            if too_many or not self._replaced(np.flatnonzero(late).astype(np.int32), files, new):
                return False
        for chunk in chunks:
            for part in without_keys(chunk, late):
                self._pipeline.push(part)
        for chunk in chunks:
            self._see(chunk)
        self._count(scan.coverage)
        return True

    def partial(self, rows: dict[str, int]) -> Partial:
        """The partial state; ``rows`` are those of each file, by path, that are in this shard."""
        pipeline = self._pipeline
        pipeline.flush()
        put_back = [held(runner) for runner in _runners(pipeline)]
        try:
            groups, table = pipeline.finish()
            tally, outside = pipeline.tally, pipeline.times_outside
        finally:
            for undo in put_back:
                undo()
        coverage = replace(
            self._coverage, rows=dict(rows), cells=dict.fromkeys(rows, (self._task.shard,)), times_outside=outside
        )
        kernels = tuple(runner.kernel.digest for runner in pipeline.runners)
        return Partial(self._task.id, groups, table, coverage, kernels, tally)

    def _new_pipeline(self, context: TaskContext) -> Pipeline:
        return Pipeline(self._compiled.plan, self._compiled.kernels, context)

    @property
    def _small(self) -> OpenSmall | None:
        return getattr(self._open, "small", None)

    def _chunks(self, scan: Scan, files: Sequence[FileEntry]) -> Iterator[RowBatch]:
        for stretch in scan.stretches(scan_order(files, None)):
            for chunk in scan.read(stretch):
                go_on()
                yield chunk

    def _see(self, chunk: RowBatch) -> None:
        """The rows were folded."""
        self._know_keys()
        np.maximum.at(self._last, chunk.run_slot, chunk.time[np.cumsum(chunk.run_len) - 1])

    def _know_keys(self) -> None:
        more = len(self._keys) - len(self._last)
        if more > 0:
            # Room for as many again, so that it grows now and then.
            self._last = np.concatenate([self._last, np.full(max(more, len(self._last)), _NEVER)])

    def _late(self, chunks: Sequence[RowBatch]) -> NDArray[np.bool_]:
        """Whether each key has a new row that is not later than all before."""
        self._know_keys()
        late = np.zeros(len(self._keys), np.bool_)
        for chunk in chunks:
            first = chunk.time[np.cumsum(chunk.run_len) - chunk.run_len]
            last = self._last[chunk.run_slot]
            # Of duplicates, which are of one time, one may be there already.
            late[chunk.run_slot[first <= last if self._resolves else first < last]] = True
        return late

    def _replaced(self, slots: NDArray[np.int32], files: Sequence[FileEntry], new: Sequence[FileEntry]) -> bool:
        """Work out the keys in ``slots`` again, with the new files and without; False if they cannot be replaced."""
        if self._keys.share_hashes:
            return False
        # Of these keys alone, so that little room is made for them.
        keys = self._keys.only(slots)
        context = replace(self._context, keys=keys)
        without, with_ = self._new_pipeline(context), self._new_pipeline(context)
        dropped = 0
        with borrowed() as buffers:
            scan = SomeKeys(self._spec, keys, context.words, self._open, buffers, frozenset(f.path for f in new))
            for chunk in self._chunks(scan, [*files, *new]):
                old, less = scan.resolved(before(chunk))
                without.push(old)
                every, more = scan.resolved(chunk)
                with_.push(every)
                dropped += more - less
        without.flush()
        with_.flush()
        self._pipeline.flush()
        runners = list(zip(*map(_runners, [self._pipeline, without, with_]), strict=True))
        groups = GroupChange.of(*runners[-1][1:])
        if groups is None:
            return False
        for runner, of_old, of_all in runners:
            replace_keys(runner, slots, of_old, of_all, groups)
        self._coverage.dropped += dropped
        return True

    def _count(self, more: Coverage) -> None:
        self._coverage.skipped += more.skipped
        self._coverage.dropped += more.dropped
        self._coverage.bytes += more.bytes


def _runners(pipeline: Pipeline) -> list[Runner]:
    """Its runners whose state is of single keys."""
    return [runner for runner in pipeline.runners if isinstance(runner, Runner) and runner.is_by_key]
