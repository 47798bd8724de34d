"""The linked list of a stream's sources, which reveals a lost item: it would look like a new source.

Each source's item names the next one in id order, and an item before all of them names the first. So the greatest item
up to an id says whether that id is in the list: one read, whatever the number of sources. A lost item is still named by
the one before it. The idea is that of NSEC records (RFC 4034, section 4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.catalogue.items.entries import Record, SourceEntry, Totals
from runtime.catalogue.items.item_bytes import dump, load, source_data
from runtime.catalogue.items.seal import damaged
from runtime.catalogue.key_value import Put, Steps, WriteCondition, query
from runtime.catalogue.log import RETRIES, LogSteps

FIRST = "#"
"""The sort key of the item before all sources: below every hexadecimal digit."""

LIVE, QUARANTINED, UNDONE = 1, 0, 2
"""Numbers of items: of sources that are in the stream, set aside, taken back."""

LAST = "~"
"""The next item of the last source: above every hexadecimal digit."""


@dataclass(frozen=True)
class Place:
    """An item of the list: its sort key, number and content."""

    sort: str
    number: int
    data: Mapping[str, Any]

    @property
    def next(self) -> str | None:
        """The sort key of the next item; None in an unlinked list of an earlier version."""
        found = self.data.get("next")
        return None if found is None else str(found)


class SourceSteps(LogSteps):
    """Reading the list of sources, and adding to it."""

    def place(self, source_id: str) -> Steps[Place | None]:
        """The source's item, else the one before its place; None if there is none (in an unlinked list).

        FormatError if the list is linked, and an item is missing where the source would be.
        """
        for _ in range(RETRIES):
            rows = yield from query(self.partition("SRC"), high=source_id + FIRST, last=True)
            items = yield from self.opened("SRC", rows)
            found = None
            for sort, number, payload in items:
                found = Place(sort, number, load(payload, self._what(sort)))
            if found is not None and found.sort == source_id:
                return found
            if found is None or found.next is None:
                head = yield from self.head()
                if head is None or not head.sealed:
                    return found
            elif found.next > source_id:
                return found
            # The first commit, the sealing, or the source itself was written in between; or an item is lost.
        raise self.damaged(
            "list of sources",
            "an item of it is missing, so this source may have been ingested; `dataflow verify` says which are missing",
        )

    def source(self, source_id: str) -> Steps[tuple[SourceEntry, int, str] | None]:
        """The source's entry, its commit and that commit's attempt; None if it was not ingested.

        FormatError if a missing item, or items that are all an older catalogue's, make that undecidable.
        """
        beside = yield from self.beside()
        if beside is not None:
            head = yield from self.head()
            reached = (0, "") if head is None else (head.seq, head.hash)
            if reached[0] < beside[0]:
                raise self.damaged("log", f"it ends at commit {reached[0]}, but commit {beside[0]} was acknowledged")
            if reached[0] == beside[0] and reached != beside:
                raise self.damaged("log", f"record {beside[0]} is not the one that was committed")
        place = yield from self.place(source_id)
        if place is None or place.sort != source_id:
            return None
        entry, seq, attempt = self.entry_of(place)
        last, _ = yield from self.last_record()
        if last is not None and state_of(entry, seq, last.totals) == "forgotten":
            return None
        return entry, seq, attempt

    def entry_of(self, place: Place) -> tuple[SourceEntry, int, str]:
        """The entry, commit and attempt in a source's item."""
        try:
            return SourceEntry.from_dict(place.data), int(place.data["seq"]), str(place.data["attempt"])
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(self._what(place.sort), str(error)) from error

    def source_puts(
        self, source: SourceEntry, record: Record, place: Place | None, linked: bool, taken: Sequence[Place] = ()
    ) -> list[Put]:
        """The source's item and, in a ``linked`` list, the one before it, which names it; those that it takes back.

        ``place`` and ``taken`` were read after the last record of the log, so if the list changed since, this commit
        is refused.
        """
        data = source_data(source, record.seq, record.attempt)
        number = number_of(source)
        puts = {put.sort: put for put in self.undone_puts(taken, record)}
        if place is not None and place.sort == source.id:
            data |= {"next": place.next} if linked else {}
            puts[source.id] = self.put("SRC", source.id, dump(data), WriteCondition.EQUAL, place.number, number)
            return list(puts.values())
        if linked:
            before = Place(FIRST, 0, {}) if place is None else place
            data |= {"next": LAST if place is None else place.next}
            marked = self.undone(before, record.seq) if before.sort in puts else before
            when = WriteCondition.ABSENT if place is None else WriteCondition.EQUAL
            body = dump({**marked.data, "next": source.id})
            puts[before.sort] = self.put("SRC", before.sort, body, when, before.number, marked.number)
        puts[source.id] = self.put("SRC", source.id, dump(data), WriteCondition.ABSENT, 0, number)
        return list(puts.values())

    def undone_puts(self, taken: Iterable[Place], record: Record) -> list[Put]:
        """The items of the sources that the record takes back; they stay where they are in the list."""
        marked = [(place.number, self.undone(place, record.seq)) for place in taken]
        return [self.put("SRC", p.sort, dump(p.data), WriteCondition.EQUAL, bound, p.number) for bound, p in marked]

    def settled_puts(self, settled: Iterable[Place], record: Record) -> list[Put]:
        """The items of the sources that the record dismisses, or that are to be taken again."""
        return [
            self.put("SRC", p.sort, dump(self._settled(p, record)), WriteCondition.EQUAL, p.number, p.number)
            for p in settled
        ]

    def _settled(self, place: Place, record: Record) -> Mapping[str, Any]:
        data = {name: value for name, value in place.data.items() if name not in ("dismissed", "retried")}
        return {**data, "dismissed" if place.sort in record.dismissed else "retried": record.seq}

    def undone(self, place: Place, seq: int) -> Place:
        """The item of a source that commit ``seq`` takes back."""
        return Place(place.sort, UNDONE, {**place.data, "undone": seq})

    def linked_puts(self, sources: Iterable[tuple[str, int, Mapping[str, Any]]]) -> list[Put]:
        """The whole list, linked, of these sources: ids, item numbers, contents."""
        held = sorted((sort, number, data) for sort, number, data in sources if sort != FIRST)
        items = [(FIRST, 0, {}), *held]
        following = [*(sort for sort, _, _ in held), LAST]
        return [
            self.put("SRC", sort, dump({**data, "next": after}), number=number)
            for (sort, number, data), after in zip(items, following, strict=True)
        ]

    def _what(self, sort: str) -> str:
        return f"source {sort} of stream {self.stream!r}"


def number_of(entry: SourceEntry) -> int:
    """The number of the item with this entry."""
    return UNDONE if entry.undone else LIVE if entry.quarantined is None else QUARANTINED


def state_of(entry: SourceEntry, seq: int, totals: Totals) -> str:
    """The field of the totals that counts a source with this entry, of commit ``seq``."""
    if seq <= totals.begun:
        return "forgotten"
    return "undone" if entry.undone else "sources" if entry.quarantined is None else "quarantined"


def is_dismissed(entry: SourceEntry, seq: int, totals: Totals) -> bool:
    """Whether the totals count this source among those that were dismissed."""
    return bool(entry.dismissed) and state_of(entry, seq, totals) == "quarantined"


def broken_links(places: Sequence[Place], seq: int) -> list[str]:
    """Problems of the links of the list, which was read after commit ``seq``; one phrase each.

    An item of a later commit may have been added after the query passed the one before it.
    """
    problems = []
    expected: str | None = FIRST
    for place in places:
        if place.sort == expected:
            expected = place.next
        elif place.sort == FIRST or int(place.data.get("seq", 0)) <= seq:
            problems.append(f"the list of sources has {place.sort} where {expected} should follow")
            expected = place.next
    if expected != LAST:
        problems.append(f"the list of sources lacks {'its beginning' if expected == FIRST else expected}")
    return problems
