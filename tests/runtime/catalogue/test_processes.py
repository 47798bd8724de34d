"""Several processes at once on a folder, some of them killed: nothing is lost or doubled."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.testing.contracts.processes_contract import ProcessesContract


class TestFolder(ProcessesContract):
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return str(tmp_path)
