"""How many examples a law draws at least."""

from __future__ import annotations

from hypothesis import settings

_BY_HAND = 60
"""The examples of the profile ``dev``; those of CI have fewer."""


def at_least(examples: int) -> int:
    """So many by hand and at night; in CI, which has half an hour for everything, two fifths of them."""
    drawn = settings().max_examples
    return max(drawn, examples if drawn >= _BY_HAND else examples * 2 // 5)
