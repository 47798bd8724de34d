"""What is given to ingest: its bytes, its format, and how the stream wants it."""
