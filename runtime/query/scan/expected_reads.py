"""The reads that a scan will make of a file, counted by the functions that it reads by."""

from __future__ import annotations

from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY
from runtime.pointfile import PointFile
from runtime.query.scan.batches import batches, in_range
from runtime.query.scan.scan_spec import ScanSpec, merged_columns


def first_time(spec: ScanSpec) -> int:
    """The time before which no row matters: which of the rows with one id counts depends on all of its day."""
    return spec.since // DAY * DAY if spec.id_column is not None else spec.since


def is_outside(entry: FileEntry, spec: ScanSpec) -> bool:
    """Whether no row of a file is in the range."""
    return entry.t_min >= spec.until or (spec.skip_before and entry.t_max < first_time(spec))


def reads_after_opening(entry: FileEntry, file: PointFile, spec: ScanSpec, merged: bool) -> list[int]:
    """The bytes of each read of an open file that was not read whole.

    Exact unless its rows are ``merged`` with those of other files: then all blocks of the shard are counted once,
    though only those of some keys may be read again, or those of some days several times.
    """
    _, _, first, end = file.key_span(*spec.shard)
    if first == end or is_outside(entry, spec):
        return []
    columns = merged_columns(spec) if merged else spec.columns
    present = [c for c in columns if c in file.schema]
    out = file.reads_of_keys()
    for column in present:
        if columns[column] is Type.STRING:
            out += file.reads_of_words(column)
    lo, _, wanted = in_range(file, (first, end), spec, first_time(spec))
    for batch in batches(file, present, spec, spec.times or merged, lo, wanted, not merged):
        out += file.reads(present, batch.chosen[0], batch.chosen[-1] + 1, batch.time)
    return out
