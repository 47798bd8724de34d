"""The oracle: what every metric means, in plain Python, slow on purpose. See README.md."""

from __future__ import annotations

from runtime.testing.oracle.answers import answer, answer_of_streams
from runtime.testing.oracle.expressions import IntegerOverflowError

__all__ = ["IntegerOverflowError", "answer", "answer_of_streams"]
