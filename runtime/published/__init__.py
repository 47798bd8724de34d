"""Published queries: versions of a metric under a name, run by it over what earlier runs have left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late

if TYPE_CHECKING:
    from runtime.published.definition import Parameter, Published

# A query that is asked since "-7d" needs none of them.
__getattr__ = late(__name__, {"runtime.published.definition": ("Parameter", "Published")})

__all__ = ["Parameter", "Published"]
