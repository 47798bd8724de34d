"""Stores in folders that many tests begin with: made once for a module, and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

from runtime import Store


def copy_of(made: Path, to: Path) -> Store:
    """A copy, in the folder ``to``, of the store in the folder ``made``, which is closed."""
    shutil.copytree(made, to, dirs_exist_ok=True)
    return Store(to)
