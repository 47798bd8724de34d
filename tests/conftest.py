"""What all tests share: Hypothesis profiles and the recorded data beside the repository."""

from __future__ import annotations

import gc
import os
import re
import shutil
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.fast_tests import NOT_WITH, is_fast

pytest.register_assert_rewrite("runtime.testing", "tests.laws", "tests.simulator", "tests.campaigns")

# As the console script has it: compiling a kernel makes many objects, and hardly any of them garbage in a circle.
gc.set_threshold(100_000, 50, 100)

# Tests start hundreds of processes, and without bytecode each of them compiles every module anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A shell that runs the tests in the background lets their processes ignore Ctrl-C, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

IN_MEMORY, ROOM = Path("/dev/shm"), 8 << 30
"""A folder in memory (Linux), and the free bytes that the stores of a whole run fit in: on a disk each commit waits, so
that tests which write stores take half as long again."""


def _has_room() -> bool:
    return os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free >= ROOM


if "TMPDIR" not in os.environ and _has_room():
    os.environ["TMPDIR"] = str(IN_MEMORY)
    tempfile.tempdir = None

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]

# The first example of a test may compile a kernel, so no profile has a deadline per example.
# What a test compiles it compiles itself, and nothing else.
os.environ["ANTFOLD_BACKGROUND"] = "0"

settings.register_profile(
    "ci", derandomize=True, max_examples=30, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile(
    "fast", derandomize=True, max_examples=8, deadline=None, print_blob=True, suppress_health_check=_SLOW
)
settings.register_profile("dev", max_examples=40, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.register_profile("nightly", max_examples=3000, deadline=None, print_blob=True, suppress_health_check=_SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_configure(config: pytest.Config) -> None:
    """``-m fast`` draws few examples of each property."""
    if re.match(r"fast\b", config.option.markexpr) and not os.environ.get("HYPOTHESIS_PROFILE"):
        settings.load_profile("fast")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the fast tests, before ``-m`` chooses."""
    for item in items:
        if is_fast(item.path) and not any(mark.name in NOT_WITH for mark in item.iter_markers()):
            item.add_marker("fast")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recorded data: $ANTFOLD_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("ANTFOLD_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "truth.json").is_file():
        pytest.skip(f"no recorded data at {folder}; set ANTFOLD_DATA to its folder")
    return folder
