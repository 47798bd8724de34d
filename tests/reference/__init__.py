"""The oracle: what every metric means, in plain Python, slow on purpose. See README.md."""

from __future__ import annotations

from tests.reference.answers import answer
from tests.reference.expressions import IntegerOverflowError

__all__ = ["IntegerOverflowError", "answer"]
