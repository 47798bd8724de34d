"""Numba loop bodies. Nothing here allocates, raises or calls Python, so every one also works as a C function."""
