"""Several processes at once on a folder, and processes that are killed: nothing is lost and nothing is there twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.processes import ProcessesContract


class TestFolder(ProcessesContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path)
