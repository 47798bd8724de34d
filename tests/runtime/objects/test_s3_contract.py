"""Objects in S3 (moto) fulfil the object store's contract."""

from __future__ import annotations

import pytest

from runtime.objects import S3Objects
from runtime.testing.contracts.object_store_contract import ObjectStoreContract


class TestS3Objects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, aws: None) -> S3Objects:
        return S3Objects("lake", "a/prefix")


class TestAWholeBucket(ObjectStoreContract):
    """Without a prefix."""

    @pytest.fixture
    def objects(self, aws: None) -> S3Objects:
        return S3Objects("lake")
