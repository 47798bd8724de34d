"""How fast invocations are started: pure functions of counts and times (seconds of one clock).

A token bucket whose rate, and a limit of invocations at once, both grow by addition while all is well and shrink by a
factor when AWS says that they are too high (Chiu and Jain, 1989): which of the two, its reason tells.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

NO_THREAD = "NoThread"
"""The reason of our own: this process could not have one more invocation under way."""

CONCURRENCY = frozenset(
    {
        "ConcurrentInvocationLimitExceeded",
        "ReservedFunctionConcurrentInvocationLimitExceeded",
        "ConcurrentSnapshotCreateLimitExceeded",
        NO_THREAD,
    }
)
"""The reasons, beside ours those of Lambda's TooManyRequestsException, that speak of invocations at once; others speak
of their rate."""


@dataclass(frozen=True)
class PaceRules:
    """Where pacing starts and within what it stays.

    The defaults are those of a new function in an account as it comes: 1,000 new environments in 10 seconds, refilled
    continuously, and 1,000 at once. ``growth`` is by how much the rate (starts a second) grows each second, ``cut``
    the factor of a decrease, ``calm`` the seconds in which further throttles are taken as news of the same moment.
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
"""Of all workers that relays invoke together: what warm ones take at once. Being refused costs nothing but the call."""


def share(rules: PaceRules, count: int) -> PaceRules:
    """The rules for each of ``count`` who together are to keep ``rules``; but none is to stand still (``least``)."""
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
    """The bucket at time ``at``: its ``rate``, its ``tokens`` (one a start), the ``limit`` of invocations at once.

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
    """The pace at ``now``: what time has added to rate and tokens."""
    seconds = max(0.0, now - pace.at)
    rate = min(rules.most, pace.rate + rules.growth * seconds)
    tokens = min(rules.burst, pace.tokens + (pace.rate + rate) / 2 * seconds)
    return replace(pace, rate=rate, tokens=tokens, at=max(now, pace.at))


def next_start(rules: PaceRules, pace: Pace, now: float, running: int) -> float | None:
    """When the next invocation may start (``now`` or later); None: not before one of the ``running`` ends."""
    if running >= max(1.0, pace.limit):
        return None
    pace = refilled(rules, pace, now)
    return now if pace.tokens >= 1 else now + (1 - pace.tokens) / pace.rate


def started(rules: PaceRules, pace: Pace, now: float) -> Pace:
    """The pace after one start."""
    pace = refilled(rules, pace, now)
    return replace(pace, tokens=pace.tokens - 1)


def succeeded(rules: PaceRules, pace: Pace) -> Pace:
    """The pace after an invocation that was answered: the limit grows by one in as many answers as it is high."""
    return replace(pace, limit=min(rules.limit, pace.limit + 1 / max(1.0, pace.limit)))


def throttled(rules: PaceRules, pace: Pace, now: float, reason: str, running: int) -> Pace:
    """The pace after a throttle for ``reason`` while ``running`` others were under way."""
    pace = refilled(rules, pace, now)
    calm = now - pace.cut_at < rules.calm
    if reason in CONCURRENCY:
        # What was running when one more was too many is all there is room for. Of those that still seem to run some
        # are refused, too, as the next reports tell; less than all is taken once, to leave room for others.
        room = min(pace.limit, running if calm else running * (1 + rules.cut) / 2)
        return replace(pace, limit=max(1.0, room), cut_at=pace.cut_at if calm else now)
    if calm:
        return pace
    return replace(pace, rate=max(rules.least, pace.rate * rules.cut), tokens=min(0.0, pace.tokens), cut_at=now)
