"""A store that is open: where it is, its point files, and whether they are whole."""
