"""Executes metrics over stores of point files: ingest, storage, planning, execution, results with proofs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late

if TYPE_CHECKING:
    from runtime.ingest.preview import Preview, preview
    from runtime.result.result import PartialResult, Result
    from runtime.store import Store

__getattr__ = late(
    __name__,
    {
        "runtime.ingest.preview": ("Preview", "preview"),
        "runtime.result.result": ("PartialResult", "Result"),
        "runtime.store": ("Store",),
    },
)


def __dir__() -> list[str]:
    return sorted([*__all__, "__doc__", "__file__", "__name__", "__path__"])


__all__ = ["PartialResult", "Preview", "Result", "Store", "preview"]
