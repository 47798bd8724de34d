"""Counts the rows of a file that the stream's policy for duplicates leaves out when it is read alone."""

from __future__ import annotations

from dataclasses import replace

from operators.states.strings import Words
from runtime.catalogue import FileEntry, StreamSchema
from runtime.pointfile import PointFile, borrowed
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import Scan
from runtime.query.stages.keys import Keys

_EVER = 1 << 62


def repeats_in(file: PointFile, entry: FileEntry, schema: StreamSchema) -> int:
    """How many rows queries drop or merge of the file alone, whatever its entry says."""
    words = Words()
    keys = Keys(schema.key_type, words)
    spec = ScanSpec(
        columns={}, shard=(0, 1 << 64), since=-_EVER, until=_EVER, skip_before=False, times=True,
        duplicates=schema.duplicates, id_column=schema.id, all_columns=schema.columns,
    )  # fmt: skip
    with borrowed() as buffers:
        scan = Scan(spec, keys, words, lambda _: file, buffers)
        # Files without repeats are not searched for them.
        for _ in scan.group((replace(entry, repeats=1),)):
            continue
        return scan.coverage.dropped
