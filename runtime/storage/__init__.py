"""An open store: its location, its point files, and their verification."""
