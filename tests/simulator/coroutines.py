"""Code that waits for its replies, as a process of the engine: it runs as a coroutine with a stack of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from greenlet import greenlet

from runtime.catalogue.key_value import Get, GetHeads, Heads, Item, KeyScan, PutHead, Query, Row, Transact
from tests.simulator.engine import ListObjects, Script

Ask = Callable[[Any], Any]
"""Sends a request of the engine, and waits for the reply."""


@dataclass(frozen=True)
class Wait:
    """Let others go on for so many steps."""

    steps: int


class Died(BaseException):
    """The process ends here; no code of the product catches it."""


def in_steps(client: Callable[[Ask], object]) -> Script:
    """The requests of ``client``, which runs as a coroutine, one after the other; closing it kills the client."""
    running = greenlet(client)

    def ask(wanted: Any) -> Any:
        return running.parent.switch(wanted)

    request = running.switch(ask)
    try:
        while not running.dead:
            try:
                if isinstance(request, Wait):  # it need not be woken at each step
                    for _ in range(request.steps):
                        yield ListObjects()
                    reply = None
                else:
                    reply = yield request
            except Exception as error:
                request = running.throw(error)
            else:
                request = running.switch(reply)
    finally:
        while not running.dead:  # also if it asks once more as it ends
            with suppress(Died):
                running.throw(Died())


class StepTable:
    """A table whose requests are steps of the engine."""

    def __init__(self, ask: Ask, most: int) -> None:
        self.ask = ask
        self.most = most

    def get(self, request: Get) -> Item | None:
        found: Item | None = self.ask(request)
        return found

    def query(self, request: Query) -> list[Row]:
        rows: list[Row] = self.ask(request)
        return rows

    def scan(self, request: KeyScan) -> tuple[bytes, bytes]:
        parts: tuple[bytes, bytes] = self.ask(request)
        return parts

    def transact(self, request: Transact) -> None:
        self.ask(request)

    def heads(self) -> Heads | None:
        found: Heads | None = self.ask(GetHeads())
        return found

    def put_head(self, request: PutHead) -> None:
        self.ask(request)

    def problems(self) -> list[str]:
        return []

    def close(self) -> None:
        """Nothing to close."""


def pause(ask: Ask, steps: int = 1) -> None:
    """Let others go on; the process may die here."""
    ask(Wait(steps))
