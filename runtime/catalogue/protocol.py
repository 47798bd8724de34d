"""The catalogue's commit protocol, step by step; CATALOGUE.md is its specification.

Every method is a generator of table requests (see ``key_value.py``), so that the same code serves every table and the
simulator. How a commit is made is in ``commits.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.catalogue.claims import AttemptSwept
from runtime.catalogue.commits import CommitSteps
from runtime.catalogue.deletions import Superseded
from runtime.catalogue.items.changes import Erasure, Left, StreamChange, TakenBack
from runtime.catalogue.items.entries import DAY, AlreadyIngested, Committed, FileEntry, SourceEntry
from runtime.catalogue.items.item_bytes import load
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.key_value import Steps, query
from runtime.errors import StoreError


class StreamSteps(CommitSteps):
    """The protocol for one stream."""

    def commit(
        self,
        schema: StreamSchema,
        source: SourceEntry,
        files: Sequence[FileEntry],
        attempt: str,
        *,
        again: bool = False,
        replacing: TakenBack | None = None,
        erased: int | None = None,
    ) -> Steps[Committed | AlreadyIngested]:
        """Add the files of one source, once: one transaction of LOG + HEAD + SRC + CLAIM, all or nothing."""
        source.checked()
        change = StreamChange(attempt, files, (), source, schema, again, erased)
        if replacing is not None:
            adds, undone = [*files, *replacing.adds], tuple(replacing.sources)
            change = StreamChange(
                attempt, adds, replacing.dels, source, schema, True, erased, undone=undone, left=replacing.left
            )
        return (yield from self.committed(change))

    def replace(self, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str) -> Steps[Committed | None]:
        """Replace live files by others with the same rows."""
        return (yield from self._upkeep(StreamChange(attempt, adds, dels)))

    def undo(
        self, sources: Sequence[str], dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str, left: Left
    ) -> Steps[Committed | None]:
        """Take sources back: replace all files with rows of them, and mark them in the list of sources."""
        return (yield from self._upkeep(StreamChange(attempt, adds, dels, undone=tuple(sources), left=left)))

    def dismiss(self, sources: Sequence[str], attempt: str) -> Steps[Committed | None]:
        """Dismiss sources in quarantine."""
        return (yield from self._upkeep(StreamChange(attempt, dismissed=tuple(sources))))

    def retry(self, sources: Sequence[str], attempt: str) -> Steps[Committed | None]:
        """Ask for sources in quarantine to be taken again."""
        return (yield from self._upkeep(StreamChange(attempt, retried=tuple(sources))))

    def raise_floor(
        self, day: int, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str, left: Left
    ) -> Steps[Committed | None]:
        """Raise the floor to a day: replace all files that begin before it, by files that end before it (what is
        carried in) or begin at it or later."""
        late = [file.path for file in dels if file.day >= day]
        if late:
            raise StoreError(f"{late[0]!r} has no points that a floor at day {day} retires: it cannot be replaced.")
        across = [file.path for file in adds if file.t_min < day * DAY <= file.t_max]
        if across:
            raise StoreError(f"{across[0]!r} has points on both sides of a floor at day {day}.")
        return (yield from self._upkeep(StreamChange(attempt, adds, dels, floor=day, left=left)))

    def erase(
        self, digests: Sequence[str], dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str, left: Left
    ) -> Steps[Committed | None]:
        """Erase keys: replace all files with rows of them, and note the keys' digests."""
        return (yield from self._upkeep(StreamChange(attempt, adds, dels, erased=tuple(digests), left=left)))

    def note_erased(self, digests: Sequence[str], attempt: str) -> Steps[Committed | None]:
        """Note keys whose points are to be replaced after this."""
        return (yield from self._upkeep(StreamChange(attempt, erased=tuple(digests))))

    def erase_all(self, dels: Sequence[FileEntry], attempt: str, seq: int) -> Steps[Committed | None]:
        """Erase the stream, whose files as of commit ``seq`` are ``dels``: it begins anew."""
        return (yield from self._upkeep(StreamChange(attempt, (), dels, whole=True, left=Left(seq))))

    def erased(self) -> Steps[dict[str, Erasure]]:
        """The digests of all keys that were erased, with the last commit that did."""
        last, _ = yield from self.last_record()
        if last is None or not last.totals.erased:
            return {}
        rows = yield from self.opened("ERASED", (yield from query(self.partition("ERASED"))))
        if len(rows) < last.totals.erased:
            raise self.damaged("list of erased keys", f"it has {len(rows)}, not {last.totals.erased}")
        out: dict[str, Erasure] = {}
        for sort, _, payload in rows:  # of one key in the order of their commits
            digest, _, seq = sort.partition("#")
            try:
                at = int(load(payload, f"erased key {sort}")["at"])
                out[digest] = Erasure(int(seq), at, 1 + (out[digest].times if digest in out else 0))
            except (KeyError, TypeError, ValueError) as error:
                raise self.damaged(f"erased key {sort}", str(error)) from error
        return out

    def _upkeep(self, change: StreamChange) -> Steps[Committed | None]:
        """Make a change without a source; None if it has to be planned again: its files are orphans then."""
        try:
            done = yield from self.committed(change)
        except (Superseded, AttemptSwept):
            return None
        return done if isinstance(done, Committed) else None
