"""The inputs of an ingest: bytes, formats, settings."""
