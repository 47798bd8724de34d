"""Waiting for what another thread or process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def until(met: Callable[[], object], seconds: float = 120) -> None:
    """Returns once it is true, asked more and more seldom; AssertionError if it is not within so many seconds."""
    end, pause = time.monotonic() + seconds, 0.01
    while not met():
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(pause)
        pause = min(1.2 * pause, 0.5)
