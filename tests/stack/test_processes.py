"""Several processes at once on S3 and DynamoDB, some of them killed, as on a folder."""

from __future__ import annotations

import pytest

from runtime.testing.contracts.processes_contract import ProcessesContract

pytestmark = pytest.mark.stack


class TestMinistack(ProcessesContract):
    kills = 2

    @pytest.fixture
    def url(self, ministack: str, prefix: str) -> str:
        return f"s3://lake/{prefix}?table=antfold-processes"


class TestSeaweedBesideMinistack(ProcessesContract):
    """Objects in one, the catalogue in the other. Who wins a race is decided in the catalogue, as above."""

    kills = 2

    @pytest.mark.nightly
    def test_a_race_of_16(self, url: str) -> None:
        super().test_a_race_of_16(url)

    @pytest.fixture
    def url(self, ministack: str, seaweed: str, prefix: str, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", ministack)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", seaweed)
        return f"s3://lake/{prefix}?table=antfold-processes"


@pytest.mark.nightly
class TestMinistackAtLength(TestMinistack):
    kills = 6


@pytest.mark.nightly
class TestSeaweedBesideMinistackAtLength(TestSeaweedBesideMinistack):
    kills = 6
