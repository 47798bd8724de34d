"""``dataflow watch`` as a process of its own, and what it brought to its store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store


def killed(times: int) -> pytest.MarkDecorator:
    """Once, and in the nights as often as this or the environment's ``KILLS`` says."""
    often = int(os.environ.get("KILLS", str(times)))
    return pytest.mark.parametrize("kills", [1, pytest.param(often, marks=pytest.mark.nightly)])


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
