"""Published queries: named, versioned metrics whose runs reuse cached partial states."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late

if TYPE_CHECKING:
    from runtime.published.definition import Parameter, Published

# A query with a relative range needs none of them.
__getattr__ = late(__name__, {"runtime.published.definition": ("Parameter", "Published")})

__all__ = ["Parameter", "Published"]
