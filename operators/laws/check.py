"""Checks the laws of aggregates, built-in or custom.

``check_laws(op)`` folds a thousand small random cases, each into one state and into random parts that are merged in
random trees, and compares the states byte for byte. It uses the same steps, tables and merges as a query. The laws to
check follow from the aggregate's claims (``Flags``): see LAWS.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import REGISTRY, AnyAggregate
from operators.compiler.loops import Inlined, inline
from operators.contract import DATES, Aggregate, Finished, SetAggregate
from operators.errors import CardinalityExceeded, DataflowError
from operators.kernels.bits import float_bits
from operators.kernels.hash_tables import add_pair
from operators.laws.rows import LawRows, cut_at, random_rows
from operators.nearest import meant
from operators.states.aggregate_states import State, each_code, own_codes
from operators.states.groups import Groups, GroupState
from operators.states.strings import Words
from operators.states.table_growth import find_all
from operators.types import Type

LAWS = {
    "split": "rows folded in parts and merged in any tree give the same state as all rows folded at once",
    "order": "rows may come in any order, unless the aggregate is ordered",
    "identity": "merging with an empty state, on either side, changes nothing",
    "finish": "finish changes no state, is repeatable, and its result for a group does not depend on other groups",
    "transport": "a state survives being sent as arrays and merged under another dictionary of strings",
    "duplicates": "a row folded twice changes nothing, if the aggregate is duplicate_safe",
    "overlap": "states that share rows merge like states that do not, if it is overlap_safe",
    "seams": "intervals cut at the boundary of two ranges give the same result, if it is additive",
}
"""The laws, in the order in which they are checked."""

_BATCH = 64
_TRIES = 40
_ERRORS = (b"overflow", b"too many")
_DTYPES = ("int64", "float64", "uint8", "int32")


class LawBroken(DataflowError):
    """An aggregate that breaks a law that it claims to satisfy."""

    def __init__(self, op: AnyAggregate, law: str, rows: LawRows) -> None:
        self.law = law
        names = op.inputs if isinstance(op, Aggregate) else ("value",)
        shown = rows.described(names)
        of = "rows" if op.argument is None else f"values of type {op.argument}"
        super().__init__(
            f"{op.name} over {of} breaks the law of {law}: {LAWS[law]}. "
            f"Rows that break it, as ({', '.join(names)}): {', '.join(map(str, shown))}"
        )


@dataclass(frozen=True)
class LawReport:
    """The laws checked for one aggregate."""

    name: str
    argument: Type | None
    cases: int
    laws: tuple[str, ...]


def check_laws(op: AnyAggregate | str, *, cases: int = 1000, seed: int = 0) -> list[LawReport]:
    """Check that an aggregate, or all with that name, satisfy the laws that they claim; else LawBroken shows rows.

    ``cases`` random cases of up to 12 rows (the same for the same ``seed``) are checked against every law. An aggregate
    passes if no case breaks one; this is not a proof, but has caught every mutant tried.
    """
    if isinstance(op, str):
        return [r for one in _named(op) for r in check_laws(one, cases=cases, seed=seed)]
    rng = np.random.default_rng(seed)
    done = 0
    while done < cases:
        check_batch(op, rng, min(_BATCH, cases - done))
        done += _BATCH
    return [LawReport(op.name, op.argument, cases, tuple(n for n, _ in _laws_of(op)))]


def _named(name: str) -> list[AnyAggregate]:
    from operators.registry import argument_types, find

    found = [a for a in (find(name, t) for t in [None, *argument_types(name)]) if a is not None]
    if not found:
        raise DataflowError(
            f"there is no aggregate {name!r}; {meant(name, (op.name for op in REGISTRY.values()), 'register')}"
            " it first, or pass the aggregate itself"
        )
    return found


def check_batch(op: AnyAggregate, rng: np.random.Generator, cases: int) -> None:
    """Check one batch of ``cases`` random cases against every law that ``op`` claims."""
    other = op.other if isinstance(op, Aggregate) else None
    rows = random_rows(rng, cases, op.argument, other)
    bench = Bench(op)
    for name, law in _laws_of(op):
        for case in law(bench, rows, rng):
            raise LawBroken(op, name, _smaller(bench, law, rows.alone(case), rng))


# ---- the bench: makes states as a query does


@lru_cache(maxsize=256)
def _driver(step: Callable[..., None], inputs: int) -> Callable[..., None]:
    """A loop that folds rows with ``step``, which takes ``inputs`` inputs."""

    def none(groups: Any, state: Any, columns: Any) -> None:
        for i in range(groups.shape[0]):
            step(np.uint64(groups[i]), *state)

    def one(groups: Any, state: Any, columns: Any) -> None:
        for i in range(groups.shape[0]):
            step(np.uint64(groups[i]), *(state + (columns[0][i],)))  # noqa: RUF005 (Numba has only this form)

    def two(groups: Any, state: Any, columns: Any) -> None:
        for i in range(groups.shape[0]):
            step(np.uint64(groups[i]), *(state + (columns[0][i], columns[1][i])))  # noqa: RUF005

    def three(groups: Any, state: Any, columns: Any) -> None:
        for i in range(groups.shape[0]):
            step(np.uint64(groups[i]), *(state + (columns[0][i], columns[1][i], columns[2][i])))  # noqa: RUF005

    def four(groups: Any, state: Any, columns: Any) -> None:
        for i in range(groups.shape[0]):
            last = (columns[0][i], columns[1][i], columns[2][i], columns[3][i])
            step(np.uint64(groups[i]), *(state + last))

    loops: list[Callable[..., None]] = [none, one, two, three, four]
    if inputs >= len(loops):
        raise DataflowError(f"a step takes at most {len(loops) - 1} inputs, this one takes {inputs}")
    import numba

    return numba.njit(error_model="numpy")(loops[inputs])  # type: ignore[no-any-return]


@inline
def _enter(g: Any, groups: Any, values: Any, slots: Any, used: Any, value: Any) -> None:
    add_pair(np.int64(g), groups, values, slots, used, value)


@inline
def _enter_float(g: Any, groups: Any, values: Any, slots: Any, used: Any, value: Any) -> None:
    add_pair(np.int64(g), groups, values, slots, used, float_bits(value + 0.0))


@lru_cache(maxsize=256)
def _inlined(step: Callable[..., None]) -> Callable[..., None]:
    return step if isinstance(step, Inlined) or hasattr(step, "py_func") else inline(step)


class Bench:
    """Folds, merges and finishes the states of one aggregate, each case in a group of its own."""

    def __init__(self, op: AnyAggregate) -> None:
        self.op = op
        if isinstance(op, SetAggregate):
            self.inputs: tuple[str, ...] = ("value",)
            self._step: Callable[..., None] = _enter_float if op.argument is Type.FLOAT else _enter
        else:
            self.inputs = op.inputs
            self._step = _inlined(op.step)

    def fold(self, rows: LawRows, rng: np.random.Generator) -> GroupState:
        """The state of ``rows`` in that order, with its own string dictionary."""
        groups, words = self._groups(rows.cases), Words()
        columns = dict(rows.inputs)
        if self.op.argument is Type.STRING:
            words.codes(rng.permutation(rows.strings).tolist())
            codes = words.codes(rows.strings)
            columns["value"] = codes[columns["value"]].astype(np.int64)
            if isinstance(self.op, Aggregate) and self.op.other is Type.STRING:
                columns["other"] = codes[columns["other"]].astype(np.int64)
        groups.cells.make_room(len(rows) + 1)
        given = tuple(np.ascontiguousarray(columns[n]) for n in self.inputs)
        _driver(self._step, len(given))(rows.case, groups.cells.arguments(0), given)
        return groups.export(words.strings)

    def _groups(self, cases: int) -> Groups:
        groups = Groups([Type.INT], [self.op], max(64, 1 << cases.bit_length()))
        keys = np.zeros((cases, 2), np.int64)
        keys[:, 0] = np.arange(cases)
        find_all(keys, groups.keys, groups.slots, groups.used)
        return groups

    def merge(self, cases: int, states: Sequence[GroupState]) -> GroupState:
        """The states merged one after another into an empty state."""
        groups, words = self._groups(cases), Words()
        for state in states:
            groups.merge(state, words.codes)
        return groups.export(words.strings)

    def tree(self, cases: int, states: Sequence[GroupState], rng: np.random.Generator) -> GroupState:
        """The states merged by a random tree."""
        level = list(states)
        while len(level) > 1:
            width = int(rng.integers(2, len(level) + 1))
            chosen = set(rng.permutation(len(level))[:width].tolist())
            some = [level[i] for i in rng.permutation(sorted(chosen))]
            level = [s for i, s in enumerate(level) if i not in chosen]
            level.insert(int(rng.integers(0, len(level) + 1)), self.merge(cases, some))
        return level[0]

    def by_case(self, state: GroupState) -> list[bytes]:
        """One byte string per case, equal if the states are equal, whatever the order of entries and strings."""
        (arrays,) = own_codes([self.op], state.states)
        marks = np.array([int.from_bytes(hashlib.blake2b(t.encode(), digest_size=7).digest()) for t in state.strings])

        def renumber(codes: NDArray[Any], ok: NDArray[np.bool_]) -> None:
            codes[ok] = marks[codes[ok]]

        each_code([self.op], [arrays], renumber)
        parts: list[list[bytes]] = [[] for _ in state.keys]
        tables, by_row = _tables(self.op, arrays)
        for entries in tables:
            for row in sorted(entries.tolist()):
                parts[row[0]].append(repr(row[1:]).encode())
        for name, values in by_row:
            for g, row in enumerate(values):
                parts[g].append(name.encode() + row.tobytes())
        return [b"|".join(p) for p in parts]

    def answers(self, state: GroupState, groups: Sequence[int]) -> list[bytes]:
        """The results of finish for these groups, or the kind of error that it raises."""
        whole, words = self._groups(len(state.keys)), Words()
        whole.merge(state, words.codes)
        return self._finished(whole, groups, words)

    def _finished(self, whole: Groups, groups: Sequence[int], words: Words) -> list[bytes]:
        try:
            return _plain(whole.cells.finish(np.array(groups, np.intp), words)[0], self.op.result, words)
        except DataflowError as error:
            if len(groups) == 1:
                return [_ERRORS[isinstance(error, CardinalityExceeded)]]
            return [a for g in groups for a in self._finished(whole, [g], words)]

    def finish_twice(self, state: GroupState, rng: np.random.Generator) -> Iterator[int]:
        """The cases for which finish returns something else the second time or with other groups, or changes the
        state."""
        whole, words = self._groups(len(state.keys)), Words()
        whole.merge(state, words.codes)
        cases = list(range(len(state.keys)))
        before = _copied(whole.cells.export(len(cases))[0])
        alone = [self._finished(whole, [c], words)[0] for c in cases]
        fine = [c for c in cases if alone[c] not in _ERRORS]
        for _ in range(2):
            some = rng.permutation(fine)[: max(1, len(fine) // 2)].tolist()
            together = zip(some, self._finished(whole, some, words), strict=True)
            yield from (c for c, answer in together if answer != alone[c])
        after = whole.cells.export(len(cases))[0]
        if any(before[name].tobytes() != after[name].tobytes() for name in before):
            yield from cases


def _tables(op: AnyAggregate, arrays: State) -> tuple[list[NDArray[np.int64]], list[tuple[str, NDArray[Any]]]]:
    """The arrays of a state that are tables of (group, ...), a row per entry, and those with one row per group."""
    tables, others = [], dict(sorted(arrays.items()))
    for exact in op.sums if isinstance(op, Aggregate) else ():
        # Arrays that some sums need in addition to their row.
        if f"{exact.name}_beyond" in others:
            tables.append(others.pop(f"{exact.name}_beyond"))
        else:
            spans = others.pop(f"{exact.name}_spans").astype(np.int64)
            digits = others.pop(f"{exact.name}_digits").astype(np.int64)
            tables += [spans, np.stack([np.repeat(spans[:, 0], spans[:, 2]), digits], axis=1)]
    if "keys" in arrays:
        dates = DATES if isinstance(op, Aggregate) and op.tally is not None and op.tally.is_dated else ()
        columns = [others.pop(name)[:, None] for name in ("counts", *dates)]
        tables.append(np.concatenate([others.pop("keys"), *columns], axis=1))
    if "groups" in arrays:
        tables.append(np.stack([others.pop("groups"), others.pop("values")], axis=1))
    return tables, list(others.items())


def _copied(arrays: State) -> State:
    return {name: values.copy() for name, values in arrays.items()}


def _plain(finished: Finished, kind: Type, words: Words) -> list[bytes]:
    values, valid = finished
    ok = np.ones(len(values), np.bool_) if valid is None else valid
    if kind.is_text:
        return [words.strings[int(v)].encode() if k else b"null" for v, k in zip(values, ok, strict=True)]
    return [v.tobytes() if k else b"null" for v, k in zip(values, ok, strict=True)]


# ---- the laws: each yields the cases that break it

Law = Callable[[Bench, LawRows, np.random.Generator], Iterator[int]]


def _differing(bench: Bench, a: GroupState, b: GroupState) -> Iterator[int]:
    pairs = zip(bench.by_case(a), bench.by_case(b), strict=True)
    yield from (i for i, (x, y) in enumerate(pairs) if x != y)


def _parts(bench: Bench, rows: LawRows, rng: np.random.Generator, count: int) -> list[GroupState]:
    """States of the rows in ``count`` parts. Rows of one key and time stay together, as in tasks."""
    where = rng.integers(0, count, (rows.cases, 3, 64))
    part = where[rows.case, rows.key, rows.inputs["time"] % 64]
    return [bench.fold(rows.take(np.flatnonzero(part == i)), rng) for i in range(count)]


def _split(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    parts = _parts(bench, rows, rng, int(rng.integers(2, 6)))
    yield from _differing(bench, bench.fold(rows, rng), bench.tree(rows.cases, parts, rng))


def _order(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    shuffled = rows.take(rng.permutation(len(rows)))
    yield from _differing(bench, bench.fold(rows, rng), bench.fold(shuffled, rng))


def _identity(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    whole, nothing = bench.fold(rows, rng), bench.fold(rows.take(np.zeros(0, np.intp)), rng)
    for order in ([whole, nothing], [nothing, whole]):
        yield from _differing(bench, whole, bench.merge(rows.cases, order))


def _finish(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    yield from bench.finish_twice(bench.fold(rows, rng), rng)


def _transport(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    whole = bench.fold(rows, rng)
    sent = [{name: _sent(values) for name, values in s.items()} for s in whole.states]
    arrived = GroupState(_sent(whole.keys), sent, list(whole.strings))
    yield from _differing(bench, whole, bench.merge(rows.cases, [arrived]))
    same = zip(
        bench.answers(whole, range(rows.cases)), bench.answers(bench.merge(rows.cases, [arrived]), range(rows.cases)),
        strict=True,
    )  # fmt: skip
    yield from (i for i, (a, b) in enumerate(same) if a != b)


def _sent(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.name not in _DTYPES:
        raise DataflowError(f"a state holds an array of {values.dtype.name}; it may hold {', '.join(_DTYPES)}")
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    buffer.seek(0)
    out: NDArray[Any] = np.load(buffer, allow_pickle=False)
    return out


def _duplicates(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    twice = rows.take(np.repeat(np.arange(len(rows)), rng.integers(1, 4, len(rows))))
    yield from _differing(bench, bench.fold(rows, rng), bench.fold(twice, rng))


def _overlap(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    a, b = _parts(bench, rows, rng, 2)
    whole = bench.fold(rows, rng)
    for order in ([a, b, whole], [whole, a], [whole, whole]):
        yield from _differing(bench, whole, bench.tree(rows.cases, order, rng))


def _seams(bench: Bench, rows: LawRows, rng: np.random.Generator) -> Iterator[int]:
    op = bench.op
    same = isinstance(op, Aggregate) and op.other is op.argument
    before, after = cut_at(rows, rng.integers(-5, 70, rows.cases), same)
    whole = bench.answers(bench.fold(rows, rng), range(rows.cases))
    pieces = bench.tree(rows.cases, [bench.fold(before, rng), bench.fold(after, rng)], rng)
    pairs = zip(whole, bench.answers(pieces, range(rows.cases)), strict=True)
    yield from (i for i, (a, b) in enumerate(pairs) if a != b)


def _laws_of(op: AnyAggregate) -> list[tuple[str, Law]]:
    """The laws that an aggregate claims to satisfy."""
    flags = op.flags
    laws: list[tuple[str, Law, bool]] = [
        ("split", _split, flags.exact),
        ("order", _order, flags.exact and not flags.ordered),
        ("identity", _identity, True),
        ("finish", _finish, True),
        ("transport", _transport, True),
        ("duplicates", _duplicates, flags.duplicate_safe),
        ("overlap", _overlap, flags.overlap_safe),
        ("seams", _seams, flags.additive),
    ]
    return [(name, law) for name, law, claimed in laws if claimed]


def _smaller(bench: Bench, law: Law, rows: LawRows, rng: np.random.Generator) -> LawRows:
    """Fewer rows of the one case that still break the law."""
    at = 0
    while at < len(rows):
        fewer = rows.take(np.delete(np.arange(len(rows)), at))
        if any(True for _ in range(_TRIES) for _ in law(bench, fewer, rng)):
            rows = fewer
        else:
            at += 1
    return rows
