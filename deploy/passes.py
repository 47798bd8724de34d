"""Passes of reconcile over the landing bucket: what each has to look at, what came of it, and what is kept of it.

The catalogue has a note per landing place. **Every object last modified before its ``reached`` is accounted for**: it
was ingested, or set aside in quarantine, when the last complete pass looked. So the next pass need not look further
back, and nothing is lost for being old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from runtime.catalogue import Catalogue

UPLOADS = timedelta(days=2)
"""How far before ``reached`` a pass looks. S3 dates an object that was uploaded in parts by when its upload began, and
the landing bucket aborts uploads a day later, at the second midnight at the latest."""

BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
STATES = ("known", "quarantined", "enqueued", "queued", "young", "older", "unknown")
"""What a pass finds an object to be: ``queued`` are those that may be waiting in the queue or among the dead letters
already, so that they were not enqueued; ``older`` is before what it looks at, ``unknown`` of no stream."""


@dataclass(frozen=True)
class Missing:
    """An object that is not ingested; ``modified`` is ISO-8601."""

    object: str
    modified: str


@dataclass(frozen=True)
class Pass:
    """One pass, also one that is not at its end. Times are ISO-8601 UTC, and sort as text.

    It looks at objects modified from ``since`` (of ``fresh`` streams: at all) to ``until``. ``hold``: no object may be
    enqueued, as the queue has messages and may have theirs. ``sent``: objects modified up to here were enqueued by an
    earlier pass, if they were missing; with ``dead`` letters, they may be among them. ``counts`` are by state.
    """

    begun: str
    since: str
    until: str
    streams: tuple[str, ...]
    fresh: tuple[str, ...] = ()
    hold: bool = False
    dead: bool = False
    sent: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    oldest: Missing | None = None
    ended: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether it ended, and enqueued what was missing, unless that was enqueued before."""
        return self.ended is not None and not (self.hold and self.counts.get("queued"))

    @property
    def reached(self) -> str:
        """Up to here every object is accounted for."""
        return self.until if self.oldest is None else min(self.until, self.oldest.modified)

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Pass:
        """From JSON; KeyError, TypeError or ValueError if it is none."""
        oldest = data.get("oldest")
        lists = {name: tuple(map(str, data[name])) for name in ("streams", "fresh")}
        return cls(**{**data, **lists, "oldest": None if oldest is None else Missing(**oldest)})


@dataclass(frozen=True)
class PassesNote:
    """What is kept of the passes over one place: the last ``complete`` one, the ``last`` one that ended, and when a
    pass last enqueued something."""

    complete: Pass | None = None
    last: Pass | None = None
    enqueued: str | None = None

    @classmethod
    def of(cls, held: Mapping[str, Any] | None) -> PassesNote:
        """From the note's content."""
        found = {} if held is None else held
        passes = {n: Pass.from_dict(found[n]) for n in ("complete", "last") if found.get(n) is not None}
        return cls(**passes, enqueued=found.get("enqueued"))

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "complete": None if self.complete is None else self.complete.to_dict(),
            "last": None if self.last is None else self.last.to_dict(),
            "enqueued": self.enqueued,
        }

    def since(self) -> str:
        """From when a pass has to look, in streams that the last complete one had."""
        return iso(BEGINNING) if self.complete is None else earlier(self.complete.reached, UPLOADS)

    def fresh(self, streams: tuple[str, ...]) -> tuple[str, ...]:
        """The streams whose objects the last complete pass took to be of no stream."""
        before = () if self.complete is None else self.complete.streams
        return tuple(name for name in streams if name not in before)

    def with_pass(self, ended: Pass) -> PassesNote:
        """With a pass that ended. It is the last complete one if it looked at all that it had to; none goes back."""
        last = ended if self.last is None or self.last.begun <= ended.begun else self.last
        wide = ended.since <= self.since() and set(self.fresh(ended.streams)) <= set(ended.fresh)
        newer = self.complete is None or self.complete.begun < ended.begun
        return replace(self, last=last, complete=ended if ended.is_complete and wide and newer else self.complete)


def sentences(note: PassesNote) -> list[str]:
    """What a person should know of the passes."""
    complete, last = note.complete, note.last
    if complete is None:
        said = ["reconcile: no complete pass yet"]
    else:
        said = [f"reconcile: last complete pass {complete.begun[:19]}; {_counted(complete)}"]
    if last is not None and last != complete and not last.is_complete:
        queued = last.counts.get("queued", 0)
        said.append(
            f"  the pass of {last.begun[:19]} is not complete: {queued:,} objects that are not ingested may wait in "
            "the queue, so none was enqueued"
        )
    newest = last or complete
    if newest is not None and newest.oldest is not None:
        said.append(f"  oldest that was not ingested then: {newest.oldest.object}, of {newest.oldest.modified[:19]}")
    return said


def _counted(one: Pass) -> str:
    counts = {name: one.counts.get(name, 0) for name in STATES}
    return ", ".join(f"{n:,} {name}" for name, n in counts.items() if n) or "no objects"


def note_name(landing: str) -> str:
    """The name of the note of a landing place (its URL)."""
    return f"reconcile {landing}"


def passes(catalogue: Catalogue, landing: str) -> PassesNote:
    """What is kept of the passes over a landing place (its URL)."""
    return PassesNote.of(catalogue.note(note_name(landing)))


def keep_pass(catalogue: Catalogue, landing: str, ended: Pass) -> None:
    """Note a pass that ended."""
    catalogue.change_note(note_name(landing), lambda held: PassesNote.of(held).with_pass(ended).to_dict())


def keep_enqueued(catalogue: Catalogue, landing: str, at: str) -> None:
    """Note, before it is done, that objects are enqueued."""

    def change(held: Mapping[str, Any] | None) -> Mapping[str, Any]:
        before = PassesNote.of(held)
        return replace(before, enqueued=max(before.enqueued or "", at)).to_dict()

    catalogue.change_note(note_name(landing), change)


def iso(at: datetime) -> str:
    """A time as text that sorts as times do."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def moment(text: str) -> datetime:
    """The time of ``iso``."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def earlier(text: str, by: timedelta) -> str:
    """A time moved back."""
    at = moment(text)
    return iso(max(at, BEGINNING + by) - by)
