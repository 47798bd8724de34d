"""Code that waits for its replies, as a process of the engine: it runs in a thread, of which one at a time goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock, Thread
from typing import Any

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
    """The requests of ``client``, which runs in a thread, one after the other; closing it kills the thread."""
    asked, answered = Lock(), Lock()
    asked.acquire()
    answered.acquire()
    request: Any = None
    reply: Any = None
    failure: BaseException | None = None
    is_over = is_dead = False

    def ask(wanted: Any) -> Any:
        nonlocal request
        if is_dead:
            raise Died
        request = wanted
        asked.release()
        answered.acquire()
        if is_dead:
            raise Died
        if failure is not None:
            raise failure
        return reply

    def live() -> None:
        nonlocal is_over, failure
        try:
            client(ask)
            failure = None
        except Died:
            failure = None
        except BaseException as error:
            failure = error
        is_over = True
        asked.release()

    thread = Thread(target=live)
    thread.start()
    try:
        while True:
            asked.acquire()
            if is_over:
                break
            try:
                if isinstance(request, Wait):  # the thread need not be woken at each step
                    for _ in range(request.steps):
                        yield ListObjects()
                    reply, failure = None, None
                else:
                    reply, failure = (yield request), None
            except Exception as error:
                reply, failure = None, error
            answered.release()
        if failure is not None:
            raise failure
    finally:
        if not is_over:
            is_dead = True
            answered.release()
        thread.join()


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
