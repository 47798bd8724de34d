"""Notes on a result or a plan for its reader: columns rarely reported, partial windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dataflow.plan.stages import Plan, Sparse
from dataflow.times.calendar_tables import bucket_table
from dataflow.typed.hidden_columns import EARLY, PARTIAL
from operators.kernels.times.calendar import bucket_end, bucket_start
from runtime.catalogue import FileEntry, Snapshot, StreamSchema
from runtime.catalogue.items.entries import day_name, stream_of
from runtime.display.text_tables import iso
from runtime.query.stages.query_table import QueryTable

if TYPE_CHECKING:
    from runtime.query.plan.prepare import Prepared


def taken_out(table: QueryTable) -> tuple[QueryTable, tuple[str, ...]]:
    """The table without the hidden column of windows, and the note derived from it."""
    if PARTIAL not in table.columns:
        return table, ()
    columns = dict(table.columns)
    _, values, valid = columns.pop(PARTIAL)
    count = int(((values != 0) & (valid != 0)).sum())
    table = replace(table, columns=columns)
    if not count:
        return table, ()
    are, them = ("is", "it") if count == 1 else ("are", "them")
    windows = "window" if table.rows == 1 else "windows"
    why = f"the range or the stream's beginning cuts {them}"
    return table, (f"{count:,} of {table.rows:,} {windows} {are} partial: {why}",)


def sparse_notes(plan: Plan, tally: Sequence[int]) -> tuple[str, ...]:
    """Notes on columns that are null in most of the rows that reached a step."""
    out = []
    for j, column in enumerate(plan.sparse):
        rows, nulls = (tally[2 * j], tally[2 * j + 1]) if len(tally) > 2 * j else (0, 0)
        if 2 * nulls > rows:
            which = f"{nulls:,} of {rows:,} {'row' if rows == 1 else 'rows'}"
            reach = "groups" if column.grouped else "looks back at"
            out.append(f"{column.column} is not reported on {which} that {column.step} {reach}; {_advice(column)}")
    return tuple(out)


def sparse_columns(plan: Plan, files: Sequence[FileEntry]) -> list[str]:
    """The same for a plan, as far as the catalogue knows: for all points of the files, before any step."""
    out = []
    rows = sum(f.rows for f in files)
    for column in plan.sparse:
        nulls = sum(f.nulls.get(column.column, f.rows) for f in files)
        if 2 * nulls > rows or (nulls and column.after):
            out.append(f"{column.column} is not reported on {nulls:,} of {rows:,} points; {_advice(column)}")
    return out


def floor_notes(prepared: Prepared) -> tuple[str, ...]:
    """Notes on points that are retired, where the answer has to do with them."""
    found = (_floor_note(prepared, read.snapshot) for read in prepared.streams)
    return tuple(note for note in found if note)


def _floor_note(prepared: Prepared, snapshot: Snapshot) -> str:
    if snapshot.floor is None:
        return ""
    of = f" of {snapshot.stream}" if prepared.several else ""
    retired = f"points{of} before {day_name(snapshot.floor)} are retired"
    files = (f for f in prepared.files if not prepared.several or stream_of(f.path) == snapshot.stream)
    if any(map(snapshot.is_carried, files)):
        return f"{retired}; each key's last values from before it are known"
    if prepared.below_floor:
        return f"{retired}, and this answer does not take them into account"
    return retired if prepared.since <= prepared.beginning else ""


def order_notes(prepared: Prepared) -> tuple[str, ...]:
    """Notes on streams in which the order of some commits is unknown."""
    return tuple(dict.fromkeys(note for s in prepared.streams for note in _order_notes(s.snapshot.schema)))


def _order_notes(schema: StreamSchema) -> tuple[str, ...]:
    if not schema.unordered:
        return ()
    of, they = ("1 file", "its") if schema.unordered == 1 else (f"{schema.unordered:,} files", "their")
    return (
        f"the order of {of} is unknown: it was recovered from {they} modification time, so where points of one key "
        "have the same time, another one may come last",
    )


def twin_notes(prepared: Prepared) -> tuple[str, ...]:
    """Notes on columns that the metric reads, of which some values in the files are in a twin that it does not read."""
    notes = []
    for stream in prepared.streams:
        read, files = set(prepared.plan.columns), prepared.point_files
        if prepared.several:
            mine = stream.snapshot.stream
            read = {own for i in prepared.plan.inputs if i.stream == mine for _, own, _ in i.columns}
            files = tuple(f for f in files if stream_of(f.path) == mine)
        for name in stream.schema.columns:
            base, _, suffix = name.rpartition("#")
            if base in read and name not in read:
                count = sum(f.rows - f.nulls[name] for f in files if name in f.nulls)
                if count:
                    values = "1 value" if count == 1 else f"{count:,} values"
                    notes.append(
                        f"{values} of {base} in the files read {'is' if count == 1 else 'are'} {suffix}: see {name}"
                    )
    return tuple(notes)


def _advice(column: Sparse) -> str:
    held = f'.held("{column.column}") before {column.after or column.step} takes each key\'s last report instead'
    if column.grouped:
        return f"{column.step} puts such rows in the group null; {held}"
    return f"{column.step} does not see the reports in rows that {column.after} drops; {held}"


def before_range(plan: Plan) -> list[str]:
    """Notes on stages that see rows before the range from other stages."""
    seen = [s.step for s in plan.stages if EARLY in dict(s.inputs)]
    made = [s.step for s in plan.stages[: plan.whole]]
    return [f"{', '.join(made)} run over it, too, for {', '.join(seen)}"] if made else []


def cut_windows(plan: Plan, prepared: Prepared) -> list[str]:
    """Notes on windows of a plan that are partial."""
    out = []
    for stage in plan.stages:
        sink = stage.sink.segmenting()
        if sink is not None and sink.bucket is not None and prepared.since < prepared.until:
            every, zone = str(sink.bucket.option("every")), str(sink.bucket.option("zone"))
            slides = sink.size > 1
            first = prepared.beginning if slides else max(prepared.since, prepared.beginning)
            final = prepared.until
            edges, width, origin = bucket_table(every, zone)
            cut = []
            if bucket_start(first, edges, width, origin) != first:
                cut.append(f"those that begin before {iso(first)}")
            if slides or bucket_end(final - 1, edges, width, origin) != final:
                cut.append(f"those that end after {iso(final)}")
            if cut:
                out.append(f"windows of {stage.step} are partial: {' and '.join(cut)}")
    return out
