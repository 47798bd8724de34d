"""The contracts of object stores and catalogues, on real servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.aws.s3_without_boto3 import SignedS3
from runtime.catalogue import Catalogue, DynamoCatalogue
from runtime.catalogue.key_value import ConditionFailed, Put, Transact, WriteCondition
from runtime.catalogue.stores.dynamodb import DynamoTable
from runtime.errors import StoreError
from runtime.objects import S3Objects
from runtime.testing.contracts.catalogue_contract import CatalogueContract
from runtime.testing.contracts.notes_contract import NotesContract
from runtime.testing.contracts.object_store_contract import ObjectStoreContract
from runtime.testing.contracts.upkeep_contract import UpkeepContract
from tests.runtime.faults import Faults

pytestmark = pytest.mark.stack


class TestSeaweedObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, seaweed: str, prefix: str) -> S3Objects:
        return S3Objects("lake", prefix)


class TestSignedSeaweedObjects(ObjectStoreContract):
    """As a function of Lambda reaches them, without boto3; this server looks at every signature."""

    @pytest.fixture
    def objects(self, seaweed: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> S3Objects:
        monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "antfold-worker")
        objects = S3Objects("lake", prefix)
        assert isinstance(objects.client.boto, SignedS3)
        return objects

    def test_a_wrong_secret(self, objects: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
        with pytest.raises(StoreError, match=r"credentials are refused or have expired \(SignatureDoesNotMatch\)"):
            objects.read("a", 0, 1)


class TestMinistackObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, ministack: str, prefix: str) -> S3Objects:
        return S3Objects("lake", prefix)


class TestMinistackCatalogue(CatalogueContract, UpkeepContract, NotesContract):
    """All tests share one table, each with a store of its own in it."""

    @pytest.fixture
    def catalogue(self, ministack: str, prefix: str) -> Iterator[Catalogue]:
        with DynamoCatalogue("antfold", f"lake/{prefix}", create=lambda: True) as catalogue:
            yield catalogue


def test_a_transaction_that_is_repeated_is_told_of_the_first(ministack: str, prefix: str) -> None:
    """By its token: its condition no longer holds, and yet the reply says that it happened."""
    table = DynamoTable("antfold", f"lake/{prefix}", create=lambda: True)
    faults = Faults(table.client)
    put = Transact([Put("s/LOG", "1", b"x", WriteCondition.ABSENT)])
    faults.lose("TransactWriteItems")
    table.transact(put)
    assert len(faults.waits) == 1
    with pytest.raises(ConditionFailed):
        table.transact(put)
    table.close()
