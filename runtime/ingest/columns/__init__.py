"""Columns of rows on their way into point files: types, event times, strings, duplicates."""
