"""The folder fulfils the object store's contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.objects import FolderObjects
from runtime.testing.contracts.object_store_contract import ObjectStoreContract


class TestFolderObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, tmp_path: Path) -> FolderObjects:
        return FolderObjects(tmp_path / "store")


class TestFolderWithoutLinks(ObjectStoreContract):
    """The same on a file system that has no hard links."""

    @pytest.fixture
    def objects(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FolderObjects:
        def link(source: object, target: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr("os.link", link)
        return FolderObjects(tmp_path / "store")
