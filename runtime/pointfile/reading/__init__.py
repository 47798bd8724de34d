"""Reads point files: opening, decoding, skipping unchanged rows, verification."""
