"""Ingest: files, byte streams and tables into point files, one commit per source. See README.md."""

from __future__ import annotations

from runtime.ingest.inputs.identity import source_identity
from runtime.ingest.inputs.inputs import StreamInput
from runtime.ingest.inputs.quarantine import quarantine
from runtime.ingest.inputs.reading import Reading, ReadingOptions
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.report import IngestReport, Interrupted, Reject, SourceReport, SourcesFailed
from runtime.ingest.resume import known_source
from runtime.ingest.retry_rejects import Rejected, counted, rejected, retry_rejects
from runtime.ingest.run import MEMORY_ROWS, ingest

__all__ = [
    "MEMORY_ROWS", "IngestReport", "Interrupted", "Reading", "ReadingOptions", "Reject", "Rejected", "Settings",
    "SourceReport", "SourcesFailed", "StreamInput", "counted", "ingest", "known_source", "quarantine", "rejected",
    "retry_rejects", "source_identity",
]  # fmt: skip
