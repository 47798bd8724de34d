"""Writes the optimised code of the slow library loops anew, after one of them was changed."""

from __future__ import annotations

from operators.compiler.library import prepare

if __name__ == "__main__":
    for path in prepare():
        print(f"{path.name}: {path.stat().st_size:,} bytes")
