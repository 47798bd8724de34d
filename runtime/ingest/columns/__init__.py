"""Typed columns during ingest: types, event times, strings, duplicates."""
