"""Laws of many metrics over stores: several metrics have the same cases, so that a store is written once for them."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from random import SystemRandom
from typing import Any

from hypothesis import core, seed, settings

MOST = 1_000
"""Examples from which on (nightly) every metric has cases of its own."""

_RUN = SystemRandom().getrandbits(64)


def shared_cases(name: str, sets: int = 16) -> Callable[[Any], Any]:
    """For a law of the metric ``name``: cases that it shares with others, one of so many sets of a run.

    Each run has its own, unless its profile always draws the same. A law must draw alike whatever the metric is.
    """
    profile = settings()
    if profile.max_examples > MOST:
        return lambda law: law
    asked = core.global_force_seed  # by --hypothesis-seed
    run = 0 if profile.derandomize else _RUN if asked is None else asked
    return seed(f"{run} {zlib.crc32(name.encode()) % sets}")
