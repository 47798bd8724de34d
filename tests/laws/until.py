"""Property tests that must hit a case: they draw until they have."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import seed

ROUNDS = 200


def until(check: Callable[[], object], met: Callable[[], bool]) -> None:
    """Run a test of Hypothesis, and again with other seeds while the examples have not ``met`` what they must.

    So that no test fails because its few examples happen to be empty: AssertionError only if hundreds of times as many
    are.
    """
    check()
    for number in range(ROUNDS):
        if met():
            return
        seed(number)(check)()
    assert met(), f"not met in {ROUNDS} rounds of examples"
