"""The contracts of object stores and catalogues, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.catalogue import Catalogue, DynamoCatalogue
from runtime.objects import S3Objects
from tests.contracts.catalogue import CatalogueContract
from tests.contracts.objects import ObjectStoreContract

pytestmark = pytest.mark.stack


class TestSeaweedObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, seaweed: str, prefix: str) -> S3Objects:
        return S3Objects("lake", prefix)


class TestMinistackObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, ministack: str, prefix: str) -> S3Objects:
        return S3Objects("lake", prefix)


class TestMinistackCatalogue(CatalogueContract):
    """All tests share one table, each with a store of its own in it."""

    @pytest.fixture
    def catalogue(self, ministack: str, prefix: str) -> Iterator[Catalogue]:
        with DynamoCatalogue("antfold", f"lake/{prefix}", create=lambda: True) as catalogue:
            yield catalogue
