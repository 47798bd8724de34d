"""A table that changes: on terminals of any size, what is seen is the last answer, with what has changed marked."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

import dataflow as df
from deploy.commands.live_table import LiveTable
from runtime import Store
from runtime.live import CurrentAnswer
from runtime.live.following import Follower
from tests.deploy.commands.terminal import Terminal

BY_HOUR = df.stream("p").group_by(h=df.time().truncate("1h")).agg(n=df.count(), keys=df.count_distinct("k"))


def put(store: Store, *hours: float) -> None:
    columns = {"k": ["a"] * len(hours), "t": [round(3600 * hour) for hour in hours]}
    store.ingest("p", columns, key="k", time="t", unit="s", progress=False)


def answer_of(follower: Follower) -> CurrentAnswer:
    answer = follower.step()
    assert answer is not None
    return answer


@pytest.fixture
def followed(tmp_path: Path) -> tuple[Store, Follower]:
    store = Store(tmp_path / "store", create=True)
    put(store, *(hour / 10 for hour in range(300)))  # thirty hours
    return store, store.follower(BY_HOUR)


def terminal(monkeypatch: pytest.MonkeyPatch, width: int, height: int, **variables: str) -> Terminal:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((width, height)))
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    return Terminal(width, height)


@pytest.mark.parametrize("size", [(80, 24), (120, 60), (30, 12), (15, 8)])
@pytest.mark.parametrize("color", [{}, {"NO_COLOR": "1"}])
def test_what_is_seen_is_the_last_answer(
    followed: tuple[Store, Follower], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    size: tuple[int, int], color: dict[str, str],
) -> None:  # fmt: skip
    store, follower = followed
    monkeypatch.delenv("NO_COLOR", raising=False)
    seen = terminal(monkeypatch, *size, **color)
    seen.feed("$ follow\r\n")
    table = LiveTable("thirty hours")
    for hours in ((), (29.95,), (3.5, 3.6), (30.5,)):
        if hours:
            put(store, *hours)
        table.show(answer_of(follower))
        written = capsys.readouterr().out
        assert ("\x1b[1;33m*" in written) == (bool(hours) and not color)
        seen.feed(written.replace("\n", "\r\n"))  # as a terminal's driver does
        shown = [line for line in seen.lines if line.strip().startswith("thirty")]
        assert len(shown) == (size[1] > 8)  # each in place of the one before
        assert len(seen.screen) <= size[1]
        assert all(len(line) < size[0] for line in seen.screen)
        assert seen.screen[-2].startswith(" commit ")
        marked = [line for line in seen.screen if line.startswith("*")]
        assert bool(marked) == bool(hours)
    assert seen.lines[0] == "$ follow"
    if size[0] >= 80:
        on_time = seen.screen.index("*on_time  1970-01-02T05:00:00Z   11      1")
        assert seen.screen[on_time + 1] == "*early    1970-01-02T06:00:00Z    1      1"


def test_elsewhere_there_are_no_codes(followed: tuple[Store, Follower], capsys: pytest.CaptureFixture[str]) -> None:
    store, follower = followed
    table = LiveTable()
    table.show(answer_of(follower))
    first = capsys.readouterr().out
    put(store, 3.5, 30.5)
    table.show(answer_of(follower))
    second = capsys.readouterr().out
    assert "\x1b" not in first + second
    assert first.count("\n") == 30 + 6
    assert [line for line in second.splitlines() if line.startswith("*")] == [
        "*late     1970-01-01T03:00:00Z   11      1",
        "*on_time  1970-01-02T05:00:00Z   10      1",
        "*early    1970-01-02T06:00:00Z    1      1",
    ]


def test_a_terminal_that_knows_no_codes(
    followed: tuple[Store, Follower], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal(monkeypatch, 80, 24, TERM="dumb")
    LiveTable().show(answer_of(followed[1]))
    assert "\x1b" not in capsys.readouterr().out


def test_the_line_below(followed: tuple[Store, Follower], capsys: pytest.CaptureFixture[str]) -> None:
    store, follower = followed
    answer = answer_of(follower)
    LiveTable().show(answer)
    proof = str(store.query(BY_HOUR, progress=False).proof.to_dict()["result"])
    below = capsys.readouterr().out.splitlines()[-2]
    assert below == f" commit 1, watermark 1970-01-02T05:54:00Z, proof {proof[:12]}; * changed"
