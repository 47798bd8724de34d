"""Upkeep of the streams of a store, one after the other, in the time of a function; it invokes itself for the rest."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from deploy.handlers.logs import Invocation, described
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client

LINKS = 3
"""How often a run is continued by another invocation; then the next scheduled run goes on."""

_RESERVE = 60.0
"""Seconds that are not used: for the commit of what was begun."""

_RATE = 250_000
"""Rows a second that a function surely rewrites: a fraction of what was measured (deploy/INTERNALS.md)."""

_NAMED = 1_000
"""Streams that an event names at most; others wait for the next scheduled run."""

_FIELDS = {"left", "link", "failed"}


class UpkeepFailed(DataflowError):
    """The upkeep of some streams failed; that of the others is done."""


GoesOn = Callable[[int], bool]
"""Whether there is time for a piece of work of so many rows."""


@dataclass
class Turns:
    """One run of upkeep. ``given`` is the event: of the schedule, or of the run that this one continues."""

    run: Invocation
    given: Mapping[str, Any]
    verb: str
    _failed: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, run: Invocation, event: object, verb: str) -> Turns:
        """For an event; DataflowError if it is none of this function."""
        given = event if isinstance(event, Mapping) else {}
        names = [*_texts(given.get("left", [])), *_texts(given.get("failed", []))]
        if not isinstance(event, Mapping) or set(given) - _FIELDS or None in names or not _is_count(given):
            raise DataflowError(
                'an event of this function is {}: all streams; or names some of them: {"left": ["telemetry"]}.'
            )
        return cls(run, given, verb, _failed=list(given.get("failed", [])))

    def all(self, streams: Sequence[str], one: Callable[[str, GoesOn], bool], again: Callable[[bytes], None]) -> Any:
        """Do ``one`` for each stream; it returns whether work is left. What is left is done by the invocation that
        ``again`` starts. UpkeepFailed, at the end of the last of them, if it failed for a stream."""
        order = self._order(streams)
        left: list[str] = []
        done = 0
        for number, stream in enumerate(order):
            if number and not self._goes_on(0):
                left = [*order[number:], *left]
                break
            self.run.log(self.verb, stream=stream)
            try:
                if one(stream, self._goes_on):
                    left.append(stream)
                done += 1
            except Exception as error:
                self.run.log("failed", "error", stream=stream, **described(error))
                self._failed.append(stream)
        link = int(self.given.get("link", 0))
        goes_on = bool(left) and link < LINKS
        if left:
            said = "another run goes on" if goes_on else "the next scheduled run goes on"
            self.run.log("no time left", "warning", left=left[:_NAMED], message=said)
        self.run.measure_done({"StreamsFailed": len(self._failed)})
        if goes_on:
            rest = {"left": left[:_NAMED], "link": link + 1, "failed": self._failed[:_NAMED]}
            again(json.dumps(rest).encode())
        elif self._failed:
            raise UpkeepFailed(
                f"not done for {', '.join(sorted(set(self._failed))[:10])}: the lines of this log with their names say "
                "why."
            )
        return {"streams": done, "left": left, "failed": sorted(set(self._failed))}

    def _order(self, streams: Sequence[str]) -> list[str]:
        """The streams that are left, or all of them; each run begins with another one, so that none always waits."""
        if "left" in self.given:
            return [stream for stream in self.given["left"] if stream in set(streams)]
        first = int(_now() // 900) % max(1, len(streams))
        return [*streams[first:], *streams[:first]]

    def _goes_on(self, rows: int) -> bool:
        return self.run.seconds_left() > _RESERVE + rows / _RATE


def _now() -> float:
    return time.time()


def invoke_again(context: Any) -> Callable[[bytes], None]:
    """Invokes the function of this context once more, without waiting for it."""

    def again(payload: bytes) -> None:
        Client("lambda", Access()).call(
            "invoke this function for the rest",
            lambda aws: aws.invoke(FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=payload),
        )

    return again


def _texts(given: object) -> list[str | None]:
    return [text if isinstance(text, str) else None for text in given] if isinstance(given, list) else [None]


def _is_count(given: Mapping[str, Any]) -> bool:
    link = given.get("link", 0)
    return isinstance(link, int) and not isinstance(link, bool) and link >= 0
