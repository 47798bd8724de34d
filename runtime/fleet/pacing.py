"""How fast invocations start: pure functions of counts and times (seconds of one clock).

A token bucket and a concurrency limit: additive increase while all is well, multiplicative decrease when AWS throttles
(Chiu and Jain, 1989). The reason of the throttle says which of the two decreases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

NO_THREAD = "NoThread"
"""A local reason: this process could not start one more concurrent invocation."""

CONCURRENCY = frozenset(
    {
        "ConcurrentInvocationLimitExceeded",
        "ReservedFunctionConcurrentInvocationLimitExceeded",
        "ConcurrentSnapshotCreateLimitExceeded",
        NO_THREAD,
    }
)
"""Reasons that concern concurrency: the local one and those of Lambda's TooManyRequestsException; others concern the
rate."""


@dataclass(frozen=True)
class PaceRules:
    """Start values and bounds of pacing.

    The defaults are those of a new function in a new account: 1,000 new environments in 10 seconds, refilled
    continuously, and 1,000 at once. ``growth`` is the increase of the rate (starts per second) per second, ``cut`` the
    factor of a decrease, ``calm`` the seconds in which further throttles count as the same event.
    """

    rate: float = 100.0
    least: float = 1.0
    most: float = 500.0
    burst: float = 500.0
    limit: float = 1_000.0
    growth: float = 10.0
    cut: float = 0.5
    calm: float = 1.0


RELAYED = PaceRules(rate=1_000.0, most=5_000.0, burst=3_000.0, growth=500.0)
"""For all workers of all relays together: what warm workers accept at once. A throttle costs only the call."""


def share(rules: PaceRules, count: int) -> PaceRules:
    """The rules for each of ``count`` callers that together keep ``rules``; none stops completely (``least``)."""
    return replace(
        rules,
        rate=rules.rate / count,
        most=rules.most / count,
        burst=max(1.0, rules.burst / count),
        limit=max(1.0, rules.limit / count),
        growth=rules.growth / count,
    )


@dataclass(frozen=True)
class Pace:
    """The bucket at time ``at``: its ``rate``, its ``tokens`` (one per start), the ``limit`` of concurrent invocations.

    ``cut_at`` is when it was last cut.
    """

    rate: float
    tokens: float
    limit: float
    at: float
    cut_at: float = float("-inf")

    @classmethod
    def of(cls, rules: PaceRules, now: float) -> Pace:
        """A full bucket."""
        return cls(rules.rate, rules.burst, rules.limit, now)


def refilled(rules: PaceRules, pace: Pace, now: float) -> Pace:
    """The pace at ``now``: rate and tokens grown by the elapsed time."""
    seconds = max(0.0, now - pace.at)
    rate = min(rules.most, pace.rate + rules.growth * seconds)
    tokens = min(rules.burst, pace.tokens + (pace.rate + rate) / 2 * seconds)
    return replace(pace, rate=rate, tokens=tokens, at=max(now, pace.at))


def next_start(rules: PaceRules, pace: Pace, now: float, running: int) -> float | None:
    """When the next invocation may start (``now`` or later); None: only after one of the ``running`` ends."""
    if running >= max(1.0, pace.limit):
        return None
    pace = refilled(rules, pace, now)
    return now if pace.tokens >= 1 else now + (1 - pace.tokens) / pace.rate


def started(rules: PaceRules, pace: Pace, now: float) -> Pace:
    """The pace after one start."""
    pace = refilled(rules, pace, now)
    return replace(pace, tokens=pace.tokens - 1)


def succeeded(rules: PaceRules, pace: Pace) -> Pace:
    """The pace after a successful invocation: the limit grows by one per ``limit`` replies."""
    return replace(pace, limit=min(rules.limit, pace.limit + 1 / max(1.0, pace.limit)))


def throttled(rules: PaceRules, pace: Pace, now: float, reason: str, running: int) -> Pace:
    """The pace after a throttle for ``reason`` while ``running`` others were under way."""
    pace = refilled(rules, pace, now)
    calm = now - pace.cut_at < rules.calm
    if reason in CONCURRENCY:
        # The number running when one more was too many is the limit. Some of those that still seem to run are
        # throttled, too, as the next reports will show, so outside a calm period less than all is taken, to leave room
        # for others.
        room = min(pace.limit, running if calm else running * (1 + rules.cut) / 2)
        return replace(pace, limit=max(1.0, room), cut_at=pace.cut_at if calm else now)
    if calm:
        return pace
    return replace(pace, rate=max(rules.least, pace.rate * rules.cut), tokens=min(0.0, pace.tokens), cut_at=now)
