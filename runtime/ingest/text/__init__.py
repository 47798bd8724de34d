"""Scans JSON and CSV text into cells; rejected records."""
