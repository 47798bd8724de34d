"""Fixtures of the ingest tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.ingest.lake import Lake


@pytest.fixture
def lake(tmp_path: Path) -> Iterator[Lake]:
    folder = tmp_path / "store"
    folder.mkdir()
    lake = Lake(folder)
    yield lake
    lake.catalogue.close()
