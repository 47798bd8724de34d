"""Numba loop bodies. None allocates, raises or calls Python, so each also works as a C function."""
