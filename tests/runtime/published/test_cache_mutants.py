"""Mutants of the cache: histories of ingests, queries and damage catch each."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.states.strings import Words
from runtime.published import day_states, incremental
from runtime.query.plan import make_tasks
from runtime.query.task import checkpoint
from tests.runtime.published.histories import BY_DAY, BY_PREFIX, run_history


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a few rows, so that there are several."""
    monkeypatch.setattr(make_tasks, "_SMALL", 5)


def _first_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files' contents do not matter, just how many there are."""
    for module in (incremental, day_states):
        monkeypatch.setattr(module, "contents", lambda groups, *_: [f"{n}" for n, _ in enumerate(groups)])


def _any_late_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state is used again whatever files came between those it is of."""
    for module in (incremental, day_states):
        monkeypatch.setattr(module, "covers", lambda *_: True)
    _first_prefix(monkeypatch)


def _any_late_file_of_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where states are of days."""
    _any_late_file(monkeypatch)


def _later_files_of_many_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state of many days is taken for theirs although one of them has other files since."""
    inner = incremental.contents
    monkeypatch.setattr(incremental, "contents", lambda groups, *_: inner([(g[0],) for g in groups]))
    monkeypatch.setattr(day_states, "covers", lambda *_: True)


def _no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strings get other codes than those that are in the state."""
    inner = checkpoint.Checkpoints.restore_names

    def forgets(self: Any, words: Words, keys: Any) -> None:
        if self.start is not None:
            words.code("somebody else")
        inner(self, words, keys)

    monkeypatch.setattr(checkpoint.Checkpoints, "restore_names", forgets)


def _no_key_state(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a stage keeps of each key is not brought back."""
    from runtime.query.stages.runner import Runner

    monkeypatch.setattr(Runner, "restore", lambda self, saved: None)


def _no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """The groups so far are lost."""
    from operators.states.groups import Groups

    inner, merge = checkpoint.Checkpoints.restore, Groups.merge
    # Tasks run on several threads at once.
    here = threading.local()

    def loses(self: Any, pipeline: Any, coverage: Any) -> int:
        here.restoring = True
        try:
            return inner(self, pipeline, coverage)
        finally:
            here.restoring = False

    def merges(self: Any, *given: Any) -> None:
        if not getattr(here, "restoring", False):
            merge(self, *given)

    monkeypatch.setattr(checkpoint.Checkpoints, "restore", loses)
    monkeypatch.setattr(Groups, "merge", merges)


def _start_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start of the range is no part of what a state is known by."""
    inner = incremental.Cached._shelf
    monkeypatch.setattr(incremental.Cached, "_shelf", lambda self, *more: inner(self, more[0]))


def _parameters_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        incremental.json, "dumps", lambda value, **o: json.JSONEncoder(**o).encode(_without_params(value))
    )


def _without_params(value: Any) -> Any:
    return [*value[:4], {}, *value[5:]] if isinstance(value, list) and len(value) > 6 else value


def _end_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """States are kept, and used, although the end of the range has cut them."""
    monkeypatch.setattr(incremental, "_usable", lambda groups, p: len(groups))


def _cut_days(monkeypatch: pytest.MonkeyPatch) -> None:
    """Days that the range cuts are kept as if they were whole."""
    inner = day_states.Days.of
    monkeypatch.setattr(day_states.Days, "of", classmethod(lambda _, *a: incremental.replace(inner(*a), whole=True)))


def _always_unordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that overlap are folded one by one, although rows are compared."""
    monkeypatch.setattr(day_states, "_unordered", lambda p: True)


MUTANTS: dict[Callable[[pytest.MonkeyPatch], None], tuple[list[str], int]] = {
    _any_late_file: (BY_PREFIX, 8),
    _any_late_file_of_days: (BY_DAY, 3),
    _later_files_of_many_days: (BY_DAY, 11),
    _no_words: (["uptime", "changes"], 11),
    _no_key_state: (BY_PREFIX, 0),
    _no_groups: (BY_PREFIX, 3),
    _start_forgotten: (BY_PREFIX, 8),
    _parameters_forgotten: (["hot"], 3),
    _end_ignored: (BY_PREFIX, 6),
    _cut_days: (BY_DAY, 10),
    _always_unordered: (["hot", "ends"], 13),
}
"""The metrics to ask for, and the seed to begin with: one that notices the mutant soon."""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_mutants_are_caught(tmp_path: Path, mutant: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "SPAN", 2)
    mutant(monkeypatch)
    metrics, first = MUTANTS[mutant]
    for seed in range(first, first + 30):
        try:
            run_history(tmp_path / f"{seed}", seed, metrics, steps=10)
        except (AssertionError, IndexError, KeyError, ValueError, df.DataflowError):
            return
    pytest.fail(f"{mutant.__name__} was not noticed in 30 histories")
