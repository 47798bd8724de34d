"""Which files hold rows of others, if only point files are left: those that a compaction wrote.

A compaction writes its files before its commit, and what it replaced stays for a while after it: rows are there twice.
Its files say what they replace (``runtime.catalogue.items.compaction_origin``), so each row is taken once:

- A compaction that later files name, or that another compaction has replaced a file of, was committed; and one of which
  every file is there has all rows of its inputs, committed or not. Both are used, and replace their inputs: these are
  committed before it, as far as they are there.
- One whose inputs are gone was committed, too: only then are they collected.
- Another one was interrupted: its inputs are used.
- Of two that replaced one file one lost a race. The one that was committed is used, else the one whose inputs are no
  longer there, else one that takes rows back (an undo, an erasure), else the earlier one.

Rows keep their commit order in ``$seq``, so commits get the numbers that they had.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from runtime.catalogue import FileEntry
from runtime.catalogue.items.commit_order import LETTERS, Order
from runtime.catalogue.items.compaction_origin import Replaced, short_name
from runtime.catalogue.items.entries import SEQ, commit_of, day_name, order_of
from runtime.pointfile import Buffers, PointFile
from runtime.progress import count_of
from runtime.recovery.attempt import Attempt, number_of


def rows_by_order(file: PointFile) -> Counter[int]:
    """How many rows a file of a compaction has of each value of ``$seq``."""
    out: Counter[int] = Counter()
    buffers = Buffers()
    for n in range(len(file.blocks)):
        block = file.load([SEQ], n, n + 1).block(n, [SEQ], buffers)
        values = block.columns[SEQ][0]
        found, counts = np.unique(values, return_counts=True)
        if len(values) == 1:
            counts = np.array([block.rows])
        out.update(dict(zip(found.tolist(), counts.tolist(), strict=True)))
    return out


@dataclass(frozen=True)
class FoundCompaction:
    """An attempt that replaced files: the commit order of its rows, and the names of its compacted inputs."""

    attempt: Attempt
    rows: Mapping[int, int]
    inputs: frozenset[str]
    gone: frozenset[str] = frozenset()
    removes: str = ""

    @classmethod
    def of(cls, attempt: Attempt) -> FoundCompaction:
        """A compaction by its files."""
        rows: Counter[int] = Counter()
        said = [found for _, file in attempt.rewritten if (found := Replaced.parse(file.origin)) is not None]
        for _, file in attempt.rewritten:
            rows += rows_by_order(file)
        inputs = {name for found in said for name in found.inputs}
        gone = {name for found in said for name in found.gone}
        return cls(
            attempt, rows, frozenset(inputs), frozenset(gone), max((found.removes for found in said), default="")
        )

    @property
    def what(self) -> str:
        """What it is, in a sentence."""
        verb, *named = self.removes.split() or [""]
        if verb == "erase":
            return f"the erasure {self.attempt.name} of the key sha256:{' '.join(named)}"
        if verb == "retire":
            return f"the retention {self.attempt.name} from {day_name(int(named[0]))} on"
        if verb == "replace" or not self.attempt.compacted:
            return f"what attempt {self.attempt.name} replaced"
        if verb:
            return f"the undo {self.attempt.name} of {count_of(len(named), 'source')}"
        # Undos and erasures of earlier versions do not say what they are, nor how many files they have.
        alone = self.attempt.is_whole or any("files" in (file.origin or {}) for _, file in self.attempt.files)
        return f"the compaction {self.attempt.name}" if alone else f"the compaction or removal {self.attempt.name}"

    @property
    def names(self) -> set[str]:
        """The short names of its files."""
        return {short_name(entry.path) for entry, _ in self.attempt.rewritten}

    @property
    def is_whole(self) -> bool:
        """Whether all its files exist."""
        files = self.attempt.rewritten
        counted = str(len(files)) in [(file.origin or {}).get("files", "") for _, file in files]
        return counted and bool(self.attempt.is_whole)

    @property
    def rank(self) -> tuple[int, int, str]:
        """By when it began."""
        order = Order.parse((self.attempt.rewritten[-1][1].origin or {}).get("order"))
        return -1 if order is None else order.seq, self.attempt.written, self.attempt.name


@dataclass
class Chosen:
    """The attempts to commit, and the number that each commit had."""

    attempts: list[Attempt] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    used: list[FoundCompaction] = field(default_factory=list)
    certain: set[str] = field(default_factory=set)
    """Attempts that were committed, because a compaction that is used has rows of them."""

    superseded: set[str] = field(default_factory=set)
    """Paths of files that are replaced, because their rows are in others."""

    interrupted: list[FoundCompaction] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    """Short names of files of compactions that are gone, and that no other file replaced."""

    orders: set[int] = field(default_factory=set)
    """The commit orders of the rows in files of compactions."""


def choose(
    ingested: Sequence[Attempt],
    compactions: Sequence[FoundCompaction],
    certain: Collection[str],
    after: int = 0,
    held: Collection[int] = (),
) -> Chosen:
    """Which of a stream's attempts to use; ``certain`` were committed.

    They are not in the log, which has ``after`` commits, and files with rows of the commit orders ``held``.
    """
    compactions = sorted(compactions, key=lambda c: c.rank)
    attempts = [*ingested, *(c.attempt for c in compactions if c.attempt.compacted)]
    said = numbers_in([a.order for a in attempts], [a.name for a in attempts], after)
    numbers = {name: max(found) for name, found in said.items()}
    used = _used(compactions, ingested, certain, numbers, held)
    out = Chosen(numbers=numbers, used=used, orders={order for c in used for order in c.rows})
    _number_by_rows(ingested, used, said, numbers, after)
    replaced = {name for c in used for name in c.inputs | c.gone}
    for c in compactions:
        if c not in used:
            out.interrupted.append(c)
            continue
        out.lost += [name for name in c.attempt.missing if name not in replaced]
        out.certain.add(c.attempt.name)
        out.attempts += [c.attempt] if c.attempt.compacted else []
    out.attempts += [a if a.name in out.certain else a.without_rewritten() for a in ingested]
    for at, a in enumerate(out.attempts):
        have = {n: max(c.rows.get(order_of(numbers.get(a.name, 0), n), 0) for c in used) for n in a.gaps if used}
        if any(have.values()) or (a.gaps and a.name in certain):
            a = out.attempts[at] = a.with_absent(have)
            out.certain.add(a.name)
        paths = {entry.path for entry in a.entries if any(replaces(c, a, entry, numbers) for c in used)}
        out.superseded |= paths
        out.certain |= {a.name} if paths else set()
    _number_the_rest(out, after)
    return out


def replaces(c: FoundCompaction, attempt: Attempt, entry: FileEntry, numbers: Mapping[str, int]) -> bool:
    """Whether a compaction has replaced a file of an attempt; ``numbers`` are those of the attempts' commits."""
    if short_name(entry.path) in c.inputs or short_name(entry.path) in c.gone:
        return True
    seq = numbers.get(attempt.name)
    return not entry.compacted and seq is not None and order_of(seq, number_of(entry.path)) in c.rows


def numbers_in(orders: Iterable[Order | None], names: Iterable[str], after: int = 0) -> dict[str, set[int]]:
    """The numbers of commits above ``after`` that files name; several of one that was recovered with another number in
    between."""
    by_name: dict[str, list[str]] = {}
    for name in names:
        by_name.setdefault(name[:LETTERS], []).append(name)
    found: dict[str, set[int]] = {}
    for order in orders:
        for back, short in enumerate(order.attempts if order is not None else ()):
            if len(by_name.get(short, ())) == 1 and order is not None and order.seq - back > after:
                found.setdefault(by_name[short][0], set()).add(order.seq - back)
    return found


def _used(
    compactions: Sequence[FoundCompaction],
    ingested: Sequence[Attempt],
    certain: Collection[str],
    numbers: Mapping[str, int],
    held: Collection[int],
) -> list[FoundCompaction]:
    """The compactions whose files are used instead of their inputs."""
    listed = {name for c in compactions for name in c.inputs | c.gone}
    there = {
        order_of(numbers[a.name], number_of(entry.path)) for a in ingested if a.name in numbers for entry, _ in a.files
    }
    there |= set(held)

    def preference(c: FoundCompaction) -> tuple[int, tuple[int, int, str]]:
        committed = c.attempt.name in certain or not c.names.isdisjoint(listed)
        needed = set(c.rows) - there - {order for other in compactions if other is not c for order in other.rows}
        return 0 if committed else 1 if needed else 2 if c.removes else 3, c.rank

    by_name = {name: c for c in compactions for name in c.names}
    used: list[FoundCompaction] = []
    for c in sorted(compactions, key=preference):
        certainty = preference(c)[0]
        only = set(c.rows) - there - {order for other in used for order in other.rows}
        fits = (c.is_whole or only) and not any(_conflict(c, other, by_name) for other in used)
        if not certainty or fits:
            used.append(c)
    return used


def _conflict(one: FoundCompaction, other: FoundCompaction, by_name: Mapping[str, FoundCompaction]) -> bool:
    """Whether both replaced one file, so that not both were committed: ``one`` may have none of the other's rows but
    those of files that it names."""
    if (one.inputs | one.gone) & (other.inputs | other.gone):
        return True
    known: set[int] = set()
    waiting, seen = [*one.inputs, *(name for name in one.gone if name in by_name)], set[str]()
    while waiting:
        name = waiting.pop()
        if name not in by_name:
            return False  # it is gone: what it had is not known, and only a commit can have replaced it
        before = by_name[name]
        if before.attempt.name not in seen:
            seen.add(before.attempt.name)
            known |= set(before.rows)
            waiting += [*before.inputs, *(name for name in before.gone if name in by_name)]
    return not known.issuperset(one.rows.keys() & other.rows.keys())


def _number_by_rows(
    ingested: Sequence[Attempt],
    used: Sequence[FoundCompaction],
    said: Mapping[str, set[int]],
    numbers: dict[str, int],
    beyond: int,
) -> None:
    """Number ingested attempts of which files name no number, or several: by how many rows compactions have of them."""
    counts: Counter[int] = Counter()
    for c in used:
        for order, of_it in c.rows.items():
            counts[order] = max(counts[order], of_it)
    free = {n for order in counts if (n := commit_of(order)) > beyond} - {
        n for found in said.values() if len(found) == 1 for n in found
    }
    for attempt in sorted(ingested, key=lambda a: (-1 if a.order is None else a.order.seq, a.written)):
        candidates = said.get(attempt.name, free)
        if len(candidates) == 1 and attempt.name in said:
            continue
        after = 0 if attempt.order is None or attempt.name in said else attempt.order.seq
        for seq in sorted(candidates):
            rows = [(counts.get(order_of(seq, number_of(entry.path))), entry.rows) for entry, _ in attempt.files]
            found = [have == all_ for have, all_ in rows if have is not None]
            if seq > after and found and all(found):
                numbers[attempt.name] = seq
                free.discard(seq)
                break


def _number_the_rest(out: Chosen, after: int) -> None:
    """Number the others: as early as they can have been, where no commit with another number is known."""
    if not out.orders:
        return
    taken = {commit_of(order) for order in out.orders} | set(out.numbers.values())
    rest = [a for a in out.attempts if a.name not in out.numbers]
    for attempt in sorted(rest, key=lambda a: (-1 if a.order is None else a.order.seq, a.written, a.name)):
        seq = max(after, 0 if attempt.order is None else attempt.order.seq) + 1
        while seq in taken:
            seq += 1
        taken.add(seq)
        out.numbers[attempt.name] = seq
