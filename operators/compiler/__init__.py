"""From loops to machine code: kept on disk as shared objects, so that most processes need no compiler at all."""

from operators.compiler.library import prebuild

__all__ = ["prebuild"]
