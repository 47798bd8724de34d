"""The contract of histories of upkeep in every ``Catalogue``: what is there after each is what a model says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.catalogue import DAY, Catalogue, Committed, FileEntry, Left, new_attempt
from runtime.catalogue.deletions import FloorRaised
from runtime.testing.contracts.catalogue_contract import SCHEMA, D, files, source
from runtime.testing.contracts.upkeep_files import digest, ids


class UpkeepHistories:
    """A subclass gives the fixture ``catalogue``."""

    @settings(
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
            HealthCheck.too_slow,
        ],
        max_examples=max(10, settings().max_examples // 4),
    )
    @given(st.lists(st.tuples(st.sampled_from("iiccurea"), st.integers(0, 1 << 30)), min_size=2, max_size=12))
    def test_upkeep_is_as_the_model_says(self, catalogue: Catalogue, script: list[tuple[str, int]]) -> None:
        """Against sets of units, one for each file that a source brought: what is live, of whom, from when to when."""
        stream = f"u{new_attempt()}"
        names = ids(*"abcd")
        holds: dict[str, frozenset[tuple[int, int]]] = {}  # path -> (commit, number) of what it has
        days: dict[tuple[int, int], int] = {}
        owner: dict[str, int] = {}  # source -> its commit
        undone: set[str] = set()
        floor: int | None = None

        def written(attempt: str, units: Iterable[tuple[int, int]], number: int, adds: list[FileEntry]) -> None:
            units = frozenset(units)
            if units:
                spread = [days[unit] for unit in units]
                (made,) = files(stream, attempt, min(spread))
                path = made.path.replace("-0.", f"-{number}.")
                holds[path] = units
                adds.append(replace(made, path=path, rows=len(units), t_max=max(spread) * DAY))

        for what, luck in script:
            attempt = new_attempt()
            known = catalogue.schema(stream) is not None
            live = list(catalogue.snapshot(stream).files) if known else []
            seq = catalogue.snapshot(stream).seq if known else 0
            adds: list[FileEntry] = []
            if what == "i" or not known:
                name = names[luck % 4]
                again = luck % 3 == 0
                for n in range(1 + luck % 3):
                    days[seq + 1, n] = D + luck // (7 + n) % 50
                    written(attempt, [(seq + 1, n)], n, adds)
                free = name not in owner or (name in undone and again)
                entry = replace(source("x"), id=name)
                if free and floor is not None and any(file.day < floor for file in adds):
                    with pytest.raises(FloorRaised):
                        catalogue.commit(stream, SCHEMA, entry, adds, attempt, again=again)
                    continue
                done = catalogue.commit(stream, SCHEMA, entry, adds, attempt, again=again)
                assert isinstance(done, Committed) == free
                if free:
                    owner[name] = seq + 1
                    undone.discard(name)
                continue
            if what == "c":
                points = catalogue.snapshot(stream).points
                gone = [file for n, file in enumerate(points) if luck >> n % 30 & 1]
                written(attempt, (unit for file in gone for unit in holds[file.path]), 0, adds)
                if gone:
                    assert catalogue.replace(stream, gone, adds, attempt) == Committed(seq + 1)
                continue
            if what == "u":
                name = names[luck % 4]
                lost = {u for f in live for u in holds[f.path] if owner.get(name) == u[0]}
            elif what == "r":
                lost = {u for u in days if days[u] < D + luck % 50}
            else:
                lost = {u for f in live for u in holds[f.path] if (u[1] + luck) % 3 == 0}
            gone = [file for file in live if holds[file.path] & lost]
            if what == "a" and luck % 4 == 0:
                gone = live
            else:
                for n, file in enumerate(gone):
                    written(attempt, holds[file.path] - lost, n, adds)
            if what == "r" and gone:  # what is carried in
                days[seq + 1, 99] = D + luck % 50 - 1
                written(attempt, [(seq + 1, 99)], 99, adds)
            rest = [file for file in (*live, *adds) if file not in gone]
            left = Left(seq, min((f.t_min for f in rest), default=None), max((f.t_max for f in rest), default=None))
            if what == "u":
                if name in owner and name not in undone:
                    assert catalogue.undo(stream, [name], gone, adds, attempt, left) == Committed(seq + 1)
                    undone.add(name)
            elif what == "r":
                if floor is None or D + luck % 50 >= floor:
                    floor = D + luck % 50
                    assert catalogue.raise_floor(stream, floor, gone, adds, attempt, left) == Committed(seq + 1)
            elif what == "a" and luck % 4 == 0:
                assert catalogue.erase_all(stream, live, attempt, seq) == Committed(seq + 1)
                owner, undone, floor = {}, set(), None
            else:
                assert catalogue.erase(stream, [digest(str(luck))], gone, adds, attempt, left) == Committed(seq + 1)
        assert catalogue.audit(stream) == []
        snapshot = catalogue.snapshot(stream)
        assert (snapshot.sources, snapshot.undone) == (len(owner) - len(undone), len(undone))
        first = min((f.t_min for f in snapshot.files), default=None)
        last = max((f.t_max for f in snapshot.files), default=None)
        if floor is not None and first is not None and last is not None:
            first, last = (None, None) if last < floor * DAY else (max(first, floor * DAY), last)
        assert (snapshot.first_time, snapshot.last_time) == (first, last)
        assert snapshot.floor == floor
