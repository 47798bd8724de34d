"""Claims: an attempt's files, and the lists of them, belong either to its commit or to the orphan sweep."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from runtime.catalogue.index import in_batches
from runtime.catalogue.items.entries import check_attempt
from runtime.catalogue.items.file_lists import SWEPT, list_key
from runtime.catalogue.items.item_bytes import dump, hash_of
from runtime.catalogue.key_value import (
    Check,
    ConditionFailed,
    OutcomeUnknown,
    Steps,
    WriteCondition,
    query,
    transact,
)
from runtime.catalogue.log import LogSteps
from runtime.errors import IngestError, StoreError

MAX_UNKNOWN = 8
"""How often a request with an unknown outcome is repeated."""


class AttemptSwept(IngestError):
    """The files of this attempt were collected as orphans before its commit."""


class ClaimSteps(LogSteps):
    """Claiming an attempt's files, and writing the lists of them under that claim."""

    def __init__(self, stream: str, most: int, clock: Callable[[], int] | None = None) -> None:
        super().__init__(stream, most, clock)
        self.patience = MAX_UNKNOWN

    def claim_for_sweep(self, attempt: str) -> Steps[bool]:
        """Claim an attempt's files as orphans; only when True may they be deleted, because no commit can follow.

        Its lists are empty then: they are found by the files, which are there before them and until after them.
        """
        check_attempt(attempt)
        put = self.put("CLAIM", attempt, dump({"by": "sweep", "seq": 0, "source": None}), WriteCondition.ABSENT)
        for _ in range(self.patience + 1):
            try:
                held = yield from self.claim(attempt)
                if held is None:
                    yield from transact([put])
                elif held[0] != "sweep":
                    return False
                yield from self._empty_lists(attempt)
                return True
            except (ConditionFailed, OutcomeUnknown):
                continue  # the existing claim decides
        return False  # unknown, so nothing is deleted

    def is_claimed(self, attempt: str, source_id: str | None) -> Steps[bool]:
        """Whether a refused commit happened after all; raises if the attempt's files are no longer its own."""
        held = yield from self.claim(attempt)
        if held is None:
            return False
        by, _, source = held
        if by == "sweep":
            raise AttemptSwept(
                f"the files of attempt {attempt} of stream {self.stream!r} were collected as orphans before they were "
                "committed: ingest the input again."
            )
        if source != source_id:
            raise StoreError(f"attempt id {attempt} was used for another commit of {self.stream!r}: use a new one.")
        return True

    # Lists of files, for commits that name them

    def write_lists(
        self, attempt: str, source_id: str | None, lists: Sequence[bytes], written: dict[str, bool]
    ) -> Steps[None]:
        """Write the lists that are not ``written`` yet, on condition that nobody has claimed the attempt.

        So a sweep, which claims it first, leaves none behind, however late a request takes effect. ``written`` maps
        the keys of lists that may be there to whether they are. Raises as ``is_claimed`` does; if the claim is this
        attempt's own commit, the commit that follows finds it.
        """
        puts = [self.put("FILES", list_key(attempt, hash_of(payload)), payload) for payload in lists]
        unclaimed = Check(self.partition("CLAIM"), attempt, WriteCondition.ABSENT)
        for batch in in_batches([put for put in puts if not written.get(put.sort)], self.most - 1):
            if batch:
                written |= {put.sort: False for put in batch}
                try:
                    yield from transact([*batch, unclaimed])
                except ConditionFailed:
                    yield from self.is_claimed(attempt, source_id)
                    return
                written |= {put.sort: True for put in batch}

    def abandon(self, attempt: str, written: Mapping[str, bool]) -> Steps[None]:
        """Empty the lists that were ``written``, or may be, for a commit that can no longer happen.

        ``OutcomeUnknown`` if that is not certain: the attempt's files must stay for the sweep, which finds the lists by
        them.
        """
        if written and not (yield from self.claim_for_sweep(attempt)):
            raise OutcomeUnknown(
                f"the lists of the files of attempt {attempt} of stream {self.stream!r} could not be emptied: repeat."
            )

    def _empty_lists(self, attempt: str) -> Steps[None]:
        """Replace the lists of an attempt that a sweep has claimed: tables need not be able to delete."""
        found = yield from query(self.partition("FILES"), list_key(attempt, ""), list_key(attempt, "~"))
        empty = [self.put("FILES", sort, SWEPT) for sort, _, _ in found]
        changed = [put for put, (_, _, body) in zip(empty, found, strict=True) if put.body != body]
        for batch in in_batches(changed, self.most):
            if batch:
                yield from transact(batch)
