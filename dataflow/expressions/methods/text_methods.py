"""Methods of texts."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.values.mistaken import text_of


class TextMethods(Methods):
    """Functions of texts."""

    def starts_with(self, prefix: str) -> Self:
        """Whether a string starts with ``prefix``."""
        return self._of("starts_with", prefix=text_of(prefix, "starts_with"))

    def contains(self, text: str) -> Self:
        """Whether a string contains ``text``, taken literally."""
        return self._of("contains", text=text_of(text, "contains"))
