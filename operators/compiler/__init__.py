"""From loops to machine code, cached on disk as shared objects, so that most processes need no compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late

if TYPE_CHECKING:
    from operators.compiler.library import prebuild

__getattr__ = late(__name__, {"operators.compiler.library": ("prebuild",)})

__all__ = ["prebuild"]
