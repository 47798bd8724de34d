"""Guards of files that are replaced: each is replaced by one commit, also where a commit replaces more of them than a
transaction holds.

A guard is an item DEL of the file's path. It names the commit that replaced the file, written with that commit; or an
attempt, as an intent, written before. An intent counts if its attempt was committed, which its claim says. Otherwise
another attempt may take it over, once it has claimed the first one for the sweep, so that it can never commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from runtime.catalogue.claims import ClaimSteps
from runtime.catalogue.index import in_batches
from runtime.catalogue.items.entries import Deletion, Record
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import Check, ConditionFailed, Put, Steps, WriteCondition, get, query, transact
from runtime.errors import IngestError

MAX_TAKEOVERS = 1_000
"""How often a batch of intents may be refused; more refusals mean damage."""


class Superseded(IngestError):
    """Another commit has changed what this one is based on; nothing was written, and it can be planned again."""


class ReadAgain(Superseded):
    """The stream has changed while a source was read: rows of it must be left out, so it has to be read again."""


class KeysErased(ReadAgain):
    """Keys of the stream were erased meanwhile."""


class FloorRaised(ReadAgain):
    """The floor was raised above points of the source."""


class DeletionSteps(ClaimSteps):
    """Guards of replaced files; ``held`` maps paths to the numbers of others' intents that may be taken over."""

    def guard(self, path: str) -> Steps[tuple[int, int | None, str | None] | None]:
        """The guard of a file: its number, and either the commit that replaced the file or the attempt that means
        to."""
        found = yield from get(self.partition("DEL"), path)
        if found is None:
            return None
        ((_, number, payload),) = yield from self.opened("DEL", [(path, *found)])
        what = f"deletion of {path!r} of stream {self.stream!r}"
        data = load(payload, what)
        seq, attempt = data.get("seq"), data.get("attempt")
        if not (isinstance(seq, int) if attempt is None else isinstance(attempt, str)):
            raise self.damaged(f"deletion of {path!r}", "it names neither a commit nor an attempt")
        return number, seq, attempt

    def replaced(self, path: str) -> Steps[int | None]:
        """The commit that replaced or removed a file; None if none did."""
        found = yield from self.guard(path)
        if found is None or found[2] is None:
            return None if found is None else found[1]
        claim = yield from self.claim(found[2])
        return claim[1] if claim is not None and claim[0] == "commit" else None

    def is_free(self, path: str, attempt: str, held: dict[str, int]) -> Steps[bool]:
        """Whether ``attempt`` may replace the file: nobody has, and nobody else who meant to ever will."""
        found = yield from self.guard(path)
        held.pop(path, None)
        if found is None:
            return True
        number, _, owner = found
        if owner is None:
            return False
        if owner != attempt and not (yield from self._can_never_commit(owner)):
            return False
        held[path] = number
        return True

    def _can_never_commit(self, attempt: str) -> Steps[bool]:
        """Make sure that an attempt never commits; False if it has, or if that is not certain."""
        if (yield from self.claim(attempt)) is None:
            rows = yield from query(
                self.partition("LOG")
            )  # rare: somebody died before a commit, or is about to make it
            if any(record.attempt == attempt for record in (yield from self.loaded(rows))):
                if (yield from self.claim(attempt)) is None:
                    raise self.damaged("claims", f"that of attempt {attempt}, which was committed, is missing")
                return False
        return (yield from self.claim_for_sweep(attempt))

    def write_intents(
        self,
        attempt: str,
        source_id: str | None,
        dels: Sequence[Deletion],
        written: dict[str, bool],
        held: dict[str, int],
    ) -> Steps[None]:
        """Write an intent for each file that is not ``written`` yet, on condition that nobody has claimed the attempt.

        ``Superseded`` if another commit has replaced one of them. Otherwise as ``write_lists``.
        """
        unclaimed = Check(self.partition("CLAIM"), attempt, WriteCondition.ABSENT)
        for _ in range(MAX_TAKEOVERS):
            waiting = [gone.path for gone in dels if not written.get(gone.path)]
            if not waiting:
                return
            for batch in in_batches([self._intent_put(path, attempt, held) for path in waiting], self.most - 1):
                written |= {put.sort: False for put in batch}
                try:
                    yield from transact([*batch, unclaimed])
                except ConditionFailed as failure:
                    if (yield from self.is_claimed(attempt, source_id)):
                        return
                    for at in failure.failed:
                        if at < len(batch) and not (yield from self.is_free(batch[at].sort, attempt, held)):
                            raise self.superseded(batch[at].sort) from failure
                    break
                written |= {put.sort: True for put in batch}
        raise self.damaged("deletions", "they are refused")

    def superseded(self, path: str) -> Superseded:
        """The error for a file that another commit has replaced."""
        return Superseded(f"another commit to stream {self.stream!r} has replaced {path!r}: repeat.")

    def _intent_put(self, path: str, attempt: str, held: dict[str, int]) -> Put:
        return self._guard_put(path, dump({"attempt": attempt}), held)

    def _deletion_puts(self, dels: Iterable[Deletion], record: Record, held: dict[str, int]) -> list[Put]:
        payload = dump({"seq": record.seq, "at": record.at})
        return [self._guard_put(gone.path, payload, held) for gone in dels]

    def _guard_put(self, path: str, payload: bytes, held: dict[str, int]) -> Put:
        """Its number rises whenever it is taken over, so that two who mean to do so do not both succeed."""
        if path not in held:
            return self.put("DEL", path, payload, WriteCondition.ABSENT)
        return self.put("DEL", path, payload, WriteCondition.EQUAL, held[path], held[path] + 1)
