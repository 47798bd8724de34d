"""Runs metrics over stores of point files: ingest, storage, planning, execution, results and their proofs."""

from runtime.result import PartialResult, Result
from runtime.store import Store

__all__ = ["PartialResult", "Result", "Store"]
