"""The lines below a result's table: its range, rows read and omitted, and why it is empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from dataflow.times.calendar_tables import YEARS
from operators.errors import DataflowError
from runtime.display.text_tables import iso
from runtime.progress import count_of
from runtime.result.proof import Proof

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue, Snapshot

_MOST_COMMITS = 2_000
"""Commits up to which the log is read to find the sources whose rows lie in the range."""


def footer(
    proof: object, notes: Sequence[str], rows: int, snapshot: Snapshot | None, catalogue: Catalogue | None
) -> list[str]:
    """Lines below a result with ``rows`` rows; only the notes for a result that is not from a store."""
    lines: list[str] = []
    if isinstance(proof, Proof):
        lines.append(_read(proof, snapshot, catalogue))
        if why := why_none(proof, snapshot, rows):
            lines.append(why)
        inside = dict.fromkeys(_read(part, None, None) for part in _inside(proof))
        lines += [line for line in inside if line not in lines]
    return [*lines, *(f"note: {note}" for note in notes)]


def _inside(proof: Proof) -> Iterator[Proof]:
    """The proofs of the metrics inside, each followed by those inside it: their streams may lack rows, too."""
    for part in proof.parts:
        yield part.proof
        yield from _inside(part.proof)


def _read(proof: Proof, snapshot: Snapshot | None, catalogue: Catalogue | None) -> str:
    """What was read of the streams of ``proof``, and what was left out."""
    span = f"{clock(proof.since)} to {clock(proof.until)} UTC"
    if proof.until_clipped:
        span += " (the present)"
    parts = [f"{count_of(proof.rows_scanned, 'row')} read", *_left_out(proof, snapshot, catalogue)]
    if proof.files_cached:
        parts.append(f"{proof.files_cached:,} of {proof.files_planned:,} files from the cache")
    return f"{proof.stream}, {span}: {', '.join(parts)}"


def why_none(proof: object, snapshot: Snapshot | None, rows: int) -> str:
    """Why there are no rows, or only the result over zero rows; empty if there is nothing to explain or the result is
    not from a store."""
    return _why_none(proof, snapshot, rows) if isinstance(proof, Proof) and snapshot is not None else ""


def clock(us: int) -> str:
    """A time for people, in UTC: ``2024-03-01 00:00``, with seconds and fractions only if not zero."""
    date, _, time = iso(us).removesuffix("Z").partition("T")
    second = "" if us % 60_000_000 == 0 else time[5:8] if us % 1_000_000 == 0 else time[5:].rstrip("0")
    return f"{date} {time[:5]}{second}"


def _left_out(proof: Proof, snapshot: Snapshot | None, catalogue: Catalogue | None) -> list[str]:
    out = [f"{proof.duplicates:,} duplicates left out"] if proof.duplicates else []
    try:
        rejected = _rejected(proof, snapshot, catalogue)
    except DataflowError:  # the result is valid even if the catalogue cannot be read now
        rejected = None
    if rejected is None:
        out.append(f"{proof.rejected:,} rejected at ingest in the whole stream")
    else:
        out.append(f"{rejected:,} rejected at ingest" if rejected else "none rejected")
    if proof.times_outside:
        out.append(f"{proof.times_outside:,} times outside of {YEARS} taken as null")
    if proof.quarantined:
        dismissed = f" ({proof.dismissed:,} dismissed)" if proof.dismissed else ""
        out.append(f"{proof.quarantined:,} {'source' if proof.quarantined == 1 else 'sources'} set aside{dismissed}")
    return out


def _rejected(proof: Proof, snapshot: Snapshot | None, catalogue: Catalogue | None) -> int | None:
    """Records rejected from the sources that have rows in the range; None if finding them would take too long.

    A rejected record may have no time, so it counts for the range of its source.
    """
    if not proof.rejected or snapshot is None or catalogue is None or proof.streams:
        return None if proof.rejected else 0
    if snapshot.first_time is None or snapshot.last_time is None:
        return proof.rejected
    if proof.since <= snapshot.first_time and proof.until > snapshot.last_time:
        return proof.rejected
    if snapshot.seq > _MOST_COMMITS:
        return None
    found = before = 0
    for record in catalogue.records(proof.stream):
        if record.seq > snapshot.seq:
            break
        if any(f.t_max >= proof.since and f.t_min < proof.until for f in record.adds):
            found += record.totals.rejected - before
        before = record.totals.rejected
    return found


def _why_none(proof: Proof, snapshot: Snapshot, rows: int) -> str:
    first, last = snapshot.first_time, snapshot.last_time
    which = "stream has" if not proof.streams else "streams have"
    if proof.streams:
        first = min((s.first_time for s in proof.streams if s.first_time is not None), default=None)
        last = max((s.last_time for s in proof.streams if s.last_time is not None), default=None)
    if first is None or last is None:
        return f"the {which.split()[0]} {proof.stream} {which.split()[1]} no points yet"
    extent = f"the {which} points from {clock(first)} to {clock(last)} UTC"
    if proof.since > last:
        return f"the range is after all points: {extent}" if not rows or not proof.rows_scanned else ""
    if proof.since >= proof.until:
        return f"the range is empty; {extent}"
    if proof.until <= first:
        return f"the range is before all points: {extent}"
    if rows:
        return ""
    if not proof.rows_scanned:
        return f"no points in this range: {extent}"
    return f"no row is left after the metric's steps; {extent}"
