"""Text: JSON and CSV scanned into cells, and what is rejected."""
