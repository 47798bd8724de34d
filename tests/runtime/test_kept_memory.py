"""The memory that a process keeps: one limit, the least recently used goes first, a fork starts anew."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.kept_memory import DEFAULT_MB, KEPT, VARIABLE, KeptMemory
from runtime.pointfile import Buffers
from runtime.pointfile.reading.decoded_blocks import IdleBuffers


class Owner:
    """Something that values are kept for."""


@given(st.lists(st.tuples(st.sampled_from("pgrd"), st.integers(0, 1), st.integers(0, 5), st.integers(0, 40))))
def test_it_is_a_bounded_least_recently_used_cache(steps: list[tuple[str, int, int, int]]) -> None:
    kept, owners = KeptMemory(100), [Owner(), Owner()]
    numbers = [kept.owner(o) for o in owners]
    model: dict[tuple[int, int], int] = {}
    for step, who, name, size in steps:
        key = numbers[who], name
        if step == "p":
            model.pop(key, None)
            model[key] = size
            kept.put(*key, key, size)
        elif step == "g":
            assert kept.get(*key) == (key if key in model else None)
            if key in model:
                model[key] = model.pop(key)
        elif step == "r" and key in model:
            value = kept.get(*key)
            model.pop(key)
            model[key] = size
            kept.resized(*key, value, size)
        elif step == "d":
            assert kept.drop(*key) == (key if model.pop(key, None) is not None else None)
        while sum(model.values()) > 100:
            del model[next(iter(model))]
        assert kept.held() == sum(model.values())
        assert [(n, name) for n in numbers for name in kept.names(n)] == sorted(model, key=lambda k: k[0])


def test_what_is_larger_than_the_limit_pushes_nothing_out() -> None:
    kept, owner = KeptMemory(100), Owner()
    number = kept.owner(owner)
    kept.put(number, "small", "s", 60)
    kept.put(number, "large", "l", 101)
    assert kept.names(number) == ["small"]
    kept.put(number, "grows", "g", 30)
    kept.resized(number, "grows", "g", 101)
    assert (kept.names(number), kept.held()) == (["small"], 60)
    kept.resized(number, "small", "another", 10)
    assert kept.held() == 60


def test_the_limit_is_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "7")
    assert KeptMemory().most == 7 << 20
    monkeypatch.delenv(VARIABLE)
    assert KeptMemory().most == DEFAULT_MB << 20
    for wrong in ("x", "-1", "1.5", "128MB"):
        monkeypatch.setenv(VARIABLE, wrong)
        with pytest.raises(DataflowError, match=r"ANTFOLD_CACHE_MB is .*; it is a whole number of megabytes, such as"):
            _ = KeptMemory().most


def test_idle_buffers_take_half_at_most() -> None:
    kept = KeptMemory(4 << 20)
    idle = IdleBuffers(kept)
    lent = [idle.take() for _ in range(5)]
    assert len(set(map(id, lent))) == 5
    for buffers in lent:
        buffers.array("a", "u1", 600_000)
        idle.give_back(buffers)
    assert 1 << 20 < kept.held() <= 2 << 20
    again = [idle.take() for _ in range(5)]
    assert sum(any(a is b for b in lent) for a in again) == 2
    assert kept.held() == 0
    kept.most = 0
    idle.give_back(Buffers())
    assert kept.held() == 0


def test_the_child_of_a_fork_starts_with_nothing() -> None:
    kept, owner = KeptMemory(100), Owner()
    kept.put(kept.owner(owner), "a", "a", 10)
    with kept._lock:  # as if another thread were in the midst of it
        child = os.fork()
        if child == 0:
            kept.make_anew()
            os._exit(0 if kept.held() == 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kept.held() == 10


@pytest.mark.parametrize("how", ["compact", "undo", "retain"])
def test_replaced_files_are_not_kept(tmp_path: Path, how: str) -> None:
    """A service that ingests and compacts for weeks would otherwise keep thousands of files that nobody reads."""
    with Store(tmp_path / "store", create=True) as store:
        for i in range(8):
            points = {"k": ["a", "b"], "t": [86_400 * i, 86_400 * i + 5], "x": [i, i]}
            store.ingest("s", points, key="k", time="t", unit="s", source=f"part {i}", progress=False, compact=False)
        store.query(df.stream("s").group_by("k").agg(n=df.sum("x")), progress=False)
        before = {file.path for file in store.catalogue.snapshot("s").files}
        if how == "compact":
            store.compact("s", progress=False)
        elif how == "undo":
            store.undo("s", next(source.id for source in store.catalogue.sources("s")))
        else:
            store.retain("s", before="1970-01-05")
        live = {file.path for file in store.catalogue.snapshot("s").files}
        assert before - live
        kept = KEPT.names(store.opened._owner)
        assert not {*kept} & (before - live)
