"""``dataflow watch`` as a process of its own, and what it brought to its store."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import dataflow as df
from runtime import Store


def watching(folder: Path, source: str, *more: str) -> subprocess.Popen[bytes]:
    """Watches ``source``, into the store in ``folder``; what it prints is in the file ``log`` there."""
    command = [
        sys.executable, "-m", "dataflow", "watch", str(folder / "store"), "s", source,
        "--key", "k", "--time", "t", "--unit", "s", "--every", "200ms", *more,
    ]  # fmt: skip
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(command, stdout=log, stderr=log)


def numbers_in(folder: Path) -> list[Any]:
    """The numbers of the points in the store, each as often as it is there."""
    with Store(folder / "store") as store:
        return sorted(store.query(df.stream("s").select("n"), progress=False)["n"])
