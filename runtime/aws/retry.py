"""Retry rules: whether and when a request to a remote service is repeated; pure functions of faults and times.

boto3's retries are off: their budget is shared by all calls of a process and is empty after some hundred throttles, so
at 50 % throttling a third of the calls fail. Here each request has its own budget.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum


class Fault(Enum):
    """The kind of a failed request."""

    THROTTLED = "throttled"
    """Refused because of its rate: it did not happen."""
    CONFLICT = "conflict"
    """Refused because of another request under way at the same place: it did not happen."""
    UNSENT = "unsent"
    """No connection could be made: it did not happen."""
    LOST = "lost"
    """It may have happened, or may still happen: time-out, broken connection, damaged reply, server error."""
    REFUSED = "refused"
    """Its condition does not hold: it did not happen, and will not."""
    MISSING = "missing"
    """The object it names does not exist."""
    FINAL = "final"
    """Anything else: repeating it would not help."""


_BY_CODE: Mapping[str, Fault] = {
    "ConditionalRequestConflict": Fault.CONFLICT,
    "OperationAborted": Fault.CONFLICT,
    "TransactionConflict": Fault.CONFLICT,
    "TransactionConflictException": Fault.CONFLICT,
    "TransactionInProgressException": Fault.LOST,  # the same request, sent before
    "RequestTimeout": Fault.LOST,
    "BadDigest": Fault.LOST,  # the bytes were damaged on the way
    "XAmzContentChecksumMismatch": Fault.LOST,
    "IncompleteBody": Fault.LOST,
    "InternalServerError": Fault.LOST,
    "InternalError": Fault.LOST,
    "ConditionalCheckFailed": Fault.REFUSED,
    "ConditionalCheckFailedException": Fault.REFUSED,
    "PreconditionFailed": Fault.REFUSED,
    "NoSuchKey": Fault.MISSING,
    "NoSuchBucket": Fault.FINAL,  # also a 404, but no object is missing there
} | dict.fromkeys(
    (
        "SlowDown",
        "Throttling",
        "ThrottlingError",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestLimitExceeded",
        "ProvisionedThroughputExceeded",
        "ProvisionedThroughputExceededException",
        "TooManyRequestsException",
        "LimitExceededException",
    ),
    Fault.THROTTLED,
)

_BY_STATUS: Mapping[int, Fault] = {
    404: Fault.MISSING,
    408: Fault.LOST,
    409: Fault.CONFLICT,
    412: Fault.REFUSED,
    429: Fault.THROTTLED,
}


def classify(status: int, code: str = "") -> Fault:
    """The fault of a reply with this HTTP status (400 and above) and this error code, as AWS documents them."""
    known = _BY_CODE.get(code)
    if known is not None:
        return known
    return Fault.LOST if status >= 500 else _BY_STATUS.get(status, Fault.FINAL)


@dataclass(frozen=True)
class Budget:
    """The retry budget of one request; all times in seconds.

    ``seconds`` bounds the total time, pauses included. ``losses`` bounds the retries after lost attempts. What did
    certainly not happen (throttles, conflicts, unsent requests) is bounded by ``seconds`` alone. Pauses double from
    ``base`` up to ``cap``.
    """

    seconds: float = 60.0
    losses: int = 5
    base: float = 0.05
    cap: float = 5.0


@dataclass(frozen=True)
class AttemptHistory:
    """How often a request did not happen so far (refused for the time being, or unsent), and how often it was lost."""

    refusals: int = 0
    losses: int = 0

    def after(self, fault: Fault) -> AttemptHistory:
        """This history and one more fault."""
        if fault in (Fault.THROTTLED, Fault.CONFLICT, Fault.UNSENT):
            return AttemptHistory(self.refusals + 1, self.losses)
        return AttemptHistory(self.refusals, self.losses + 1)


def pause(budget: Budget, history: AttemptHistory, fault: Fault, elapsed: float, dice: float) -> float | None:
    """Seconds to wait before the request is sent again; None to give up.

    ``history`` is the history before ``fault``, ``elapsed`` the time since the first attempt, ``dice`` a random number
    in [0, 1): pauses are uniform between 0 and their bound, so that clients throttled together do not retry together
    ("full jitter", Brooker, AWS Architecture Blog, 2015).
    """
    if fault in (Fault.REFUSED, Fault.MISSING, Fault.FINAL):
        return None
    if fault is Fault.LOST and history.losses >= budget.losses:
        return None
    doublings = min(history.refusals + history.losses, 30)
    wait = dice * min(budget.cap, budget.base * 2**doublings)
    return wait if elapsed + wait < budget.seconds else None


NOTICE_SECONDS = 3.0
"""A person hears of a service that cannot be reached after so long."""

_AGAIN_SECONDS = 30.0
"""And again after so long: many threads wait for the same service."""


def worth_a_notice(fault: Fault, elapsed: float, last: float | None) -> bool:
    """Whether a person should be told that a request waits, ``elapsed`` seconds after its first attempt.

    ``last`` is the time since the last notice about that service; None: there was none.
    """
    return fault is Fault.UNSENT and elapsed >= NOTICE_SECONDS and (last is None or last >= _AGAIN_SECONDS)
