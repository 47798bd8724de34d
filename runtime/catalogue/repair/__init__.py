"""Audit, sealing and salvage of catalogues."""
