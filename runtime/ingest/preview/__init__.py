"""Previews: what an ingest would make of the first records of a source. See README.md."""

from __future__ import annotations

from runtime.ingest.preview.look import ROWS, preview, previews
from runtime.ingest.preview.previewed import Preview, ingest_command

__all__ = ["ROWS", "Preview", "ingest_command", "preview", "previews"]
