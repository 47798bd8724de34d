"""Queries of a stream by another key than its own (``key_by``): the points that the metric needs are written once more,
by that key, into a temporary folder, and the metric runs there.

Memory is bounded by the buffer of an ingest and the disk by the points. The points come in an order that does not
depend on files: days follow each other, within a day the stream's keys in the order of their hashes, each in the order
of time. So rows of one time and one new key are in the order of the stream's keys: in which order they arrived, a
stream does not keep across keys.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.steps import KeyBy, Source
from dataflow.steps.base import Step
from operators.types import Type
from runtime.catalogue import Catalogue, FileEntry, Snapshot, StreamSchema, new_attempt, set_hash
from runtime.catalogue.items.entries import DAY, day_name
from runtime.columns import Column
from runtime.errors import QueryError
from runtime.ingest.columns.batch import Batch, Values
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.run import MEMORY_ROWS
from runtime.ingest.writer import Writer, WriteTarget
from runtime.points.point_scan import PointRange, PointScan
from runtime.progress import Progress
from runtime.query.execute import answered
from runtime.query.merge.conclude import conclude
from runtime.query.merge.spilling import spilling
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.number_texts import prepare_or_explain
from runtime.query.plan.other_key import KeyedSnapshots, keyed_schema, other_key
from runtime.query.plan.prepare import Prepared, Request, Snapshots
from runtime.result.proof import Proof
from runtime.result.result import Explanation, Result
from runtime.storage.open_store import OpenStore

_FIRST_SEQ = 1


def by_other_key(
    store: OpenStore, snapshots: Snapshots, request: Request, workers: int, progress: Progress, allow_partial: bool
) -> Result:
    """The result of a metric that begins with ``key_by``, on threads of this process."""
    source, key = request.steps[0], other_key(request.steps)
    assert isinstance(source, Source)
    assert key is not None
    keyed = KeyedSnapshots(snapshots, source.name, key)
    # Which columns it needs, and how far back, does not depend on the points.
    first = prepare_or_explain(keyed, request, store.open_file)
    _check_floor(first, request)
    whole = snapshots.snapshot(source.name)
    with TemporaryDirectory(prefix="antfold-key-by-") as folder:
        made = _Rewrite(store, whole, first, key, progress)
        with OpenStore(folder, create=True) as beside:
            files = made.written(beside, request)
            prepared = prepare_or_explain(_Written(made.snapshot(files, request)), request, beside.open_file)
            tasks = make_tasks(prepared, beside.url, workers)
            with spilling(prepared.plan, len(tasks), not allow_partial) as spill, beside.opened.ahead(prepared.files):
                partials, failed = answered(
                    prepared, tasks, beside.open_file, workers=workers, progress=progress, allow_partial=allow_partial,
                    spill=spill,
                )  # fmt: skip
                result = conclude(prepared, tasks, partials, failed, spent=True, spill=spill)
    result.asked = AskedByOtherKey(request.steps, whole, store.catalogue)
    return _proved(result, request, made)


@dataclass(frozen=True)
class _Written:
    """The snapshot of the points that were written."""

    only: Snapshot

    def streams(self) -> list[str]:
        """See Snapshots."""
        return [self.only.stream]

    def schema(self, stream: str) -> StreamSchema | None:
        """See Snapshots."""
        return self.only.schema

    def snapshot(self, stream: str, since: int | None = None, until: int | None = None) -> Snapshot:
        """See Snapshots."""
        return self.only


class _Rewrite:
    """The points of a range with another key, written to files."""

    def __init__(self, store: OpenStore, whole: Snapshot, plan: Prepared, key: KeyBy, progress: Progress) -> None:
        since = None if plan.history is None else plan.since - plan.history
        self._whole, self.key, self._progress = whole, key, progress
        wanted = dict.fromkeys((*key.columns, *plan.plan.columns))
        self._columns = [n for n in wanted if n in whole.schema.columns]
        self._written = [n for n in plan.plan.columns if n in (*self._columns, whole.schema.key)]
        floor = None if whole.floor is None else whole.floor * DAY
        low = since if floor is None else max(floor, since or floor)
        self._low = None if low is None else min(low, plan.until)
        self.scan = PointScan(
            store, whole.stream, PointRange(self._low, None if plan.plan.ahead else plan.until), whole
        )
        self._before = None if self._low is None else self.scan.narrowed(PointRange(floor, self._low))
        self.without_key = 0
        self.first: int | None = None
        self.last: int | None = None

    def written(self, beside: OpenStore, request: Request) -> list[FileEntry]:
        """Write the points to the other store's folder."""
        schema = keyed_schema(self._whole.schema, self.key)
        target = WriteTarget(beside.objects, self._whole.stream, new_attempt(), schema.key, schema.time, "keep", None)
        words: dict[str, InternedStrings] = {}
        total = sum(file.rows for file in self.scan.files)
        bar = self._progress.start(f"{self._whole.stream} by {schema.key}", total, "rows")
        try:
            with Writer(target, MEMORY_ROWS) as writer:
                for points in self.scan.batches(self._columns):
                    bar.advance(len(points[schema.time]), len(points[schema.time]))
                    batch = self._batch(points, words)
                    if len(batch):
                        self._note_times(batch.time)
                        writer.add(batch, words, words.clear)
                files = writer.finish(words)
        finally:
            bar.finish()
        if request.since is not None and self._before is not None:
            self._find_first()
        return [replace(f, seq=_FIRST_SEQ, ordinal=i) for i, f in enumerate(files)]

    def snapshot(self, files: Sequence[FileEntry], request: Request) -> Snapshot:
        """The snapshot of these files: what a stream that was ingested so would have."""
        whole = self._whole
        last = self.last if request.until is None and request.span is None else whole.last_time
        none = whole.files.where(np.zeros(len(whole.files), np.bool_))
        return replace(
            whole, schema=keyed_schema(whole.schema, self.key), files=none.with_added(files),
            first_time=self.first, last_time=None if self.first is None else last,
        )  # fmt: skip

    def _batch(self, points: Mapping[str, Column], words: dict[str, InternedStrings]) -> Batch:
        """The rows that have the key."""
        keys = [points[name] for name in self.key.columns]
        valid = _all_valid(keys)
        kept = slice(None) if valid is None else np.flatnonzero(valid)
        time = points[self._whole.schema.time].values[kept].astype(np.int64, copy=False)
        self.without_key += len(keys[0]) - len(time)
        columns = {name: _values(points[name], kept, words, name) for name in self._written}
        found = [_values(key, kept, words, name) for key, name in zip(keys, self.key.columns, strict=True)]
        key = found[0] if len(found) == 1 else _joined(found, words, self.key)
        return Batch(Values(key.type, key.values, None), time, columns)

    def _note_times(self, time: NDArray[np.int64]) -> None:
        low, high = int(time.min()), int(time.max())
        self.first = low if self.first is None else min(self.first, low)
        self.last = high if self.last is None else max(self.last, high)

    def _find_first(self) -> None:
        """The first time of a row with the key, which may lie before what is read: the stream begins there."""
        assert self._before is not None
        found: int | None = None
        for points in self._before.batches([n for n in self._columns if n in self.key.columns]):
            valid, time = _all_valid([points[n] for n in self.key.columns]), points[self._whole.schema.time].values
            some = time if valid is None else time[valid]
            if found is not None and len(time) and int(time.min()) // DAY > found // DAY:
                break
            if len(some):
                found = int(some.min()) if found is None else min(found, int(some.min()))
        if found is not None:
            self.first = found if self.first is None else min(self.first, found)


def _all_valid(columns: Sequence[Column]) -> NDArray[np.bool_] | None:
    """The rows with a value in all columns; None: all rows."""
    given = [column.valid for column in columns if column.valid is not None]
    return np.logical_and.reduce(given) if given else None


def _joined(keys: Sequence[Values], words: dict[str, InternedStrings], by: KeyBy) -> Values:
    """The values of several columns, none of them null, as one text for each combination."""
    number, texts = np.zeros(len(keys[0].values), np.int64), []
    for key in keys:
        distinct, which = np.unique(key.values, return_inverse=True)
        number = np.unique(number * len(distinct) + which, return_inverse=True)[1]
    first = np.unique(number, return_index=True)[1]
    for key, name in zip(keys, by.columns, strict=True):
        values = key.values[first].tolist()
        texts.append([words[name].text(v) for v in values] if key.type is Type.STRING else values)
    joined = [json.dumps(row, ensure_ascii=False) for row in zip(*texts, strict=True)]
    codes = words.setdefault(by.key, InternedStrings()).codes_of(joined)
    return Values(Type.STRING, codes[number], None)


def _values(column: Column, kept: Any, words: dict[str, InternedStrings], name: str) -> Values:
    """The rows ``kept`` of a column, texts as codes of ``words``."""
    valid = None if column.valid is None else column.valid[kept]
    values = column.values[kept]
    if column.type is Type.STRING:
        known = words.setdefault(name, InternedStrings())
        strings = [] if column.words is None else column.words.strings
        codes = known.codes_of(strings) if strings else np.zeros(1, np.int32)
        values = codes[values if valid is None else np.where(valid, values, 0)]
    return Values(column.type, values, valid)


def _check_floor(plan: Prepared, request: Request) -> None:
    floor = plan.snapshot.floor
    if floor is None or request.below_floor or plan.history == 0:
        return
    if plan.history is None or plan.since - plan.history < floor * DAY:
        raise QueryError(
            f"the points of {plan.plan.stream} before {day_name(floor)} are retired, and with key_by this metric needs "
            "them: the last values that remain of them are those of the stream's own key. To ask over the points that "
            "are left: --below-floor"
        )


def _proved(result: Result, request: Request, made: _Rewrite) -> Result:
    """The result with the proof of the points that were read, instead of those that were written."""
    proof, scan = result.proof, made.scan
    assert isinstance(proof, Proof)
    files = set_hash(f.path for f in scan.files)
    rows = scan.counts.rows + scan.counts.outside + scan.counts.merged
    notes = list(proof.notes)
    if made.without_key:
        notes.append(f"{made.without_key:,} rows without {made.key.key} were left out (key_by)")
    result.proof = replace(
        proof, files_planned=len(scan.files), files_merged=len(scan.files), files_hash_planned=files,
        files_hash_merged=files, rows_catalogued=sum(f.rows for f in scan.files), rows_scanned=rows,
        rows_ruled_out=scan.counts.outside, duplicates=scan.counts.merged, rows_without_key=made.without_key,
        files_unchecked=sum(not f.footer for f in scan.files), notes=tuple(notes),
    )  # fmt: skip
    result.notes = notes
    return result


@dataclass(frozen=True, eq=False)
class AskedByOtherKey:
    """The query behind a result by another key; see ``result.Question``."""

    steps: tuple[Step, ...]
    snapshot: Snapshot
    catalogue: Catalogue

    def explain(self, result: Result, row: int | Mapping[str, object], limit: int) -> Explanation:
        """No files hold these rows any more."""
        raise QueryError(
            "explain: the rows are by another key than the stream's (key_by), in files that "
            "are gone; filter the stream for the values of the row"
        )
