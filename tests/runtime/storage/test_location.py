"""Locations of stores: paths and URLs, parsed and printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime import Store
from runtime.aws.access import Access
from runtime.errors import StoreError
from runtime.storage.locations import BucketLocation, Folder, locate


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("s3://lake", BucketLocation("lake", "", "antfold", Access())),
        ("s3://lake/", BucketLocation("lake", "", "antfold", Access())),
        ("s3://lake/a/b/", BucketLocation("lake", "a/b", "antfold", Access())),
        ("s3://lake/a?table=mine", BucketLocation("lake", "a", "mine", Access())),
        (
            "s3://lake/a?profile=p+q%26r&region=eu-west-1&endpoint=http://127.0.0.1:9000",
            BucketLocation("lake", "a", "antfold", Access("p q&r", "eu-west-1", "http://127.0.0.1:9000")),
        ),
    ],
)
def test_urls(url: str, location: BucketLocation) -> None:
    found = locate(url)
    assert found == location
    assert locate(found.url) == location  # as a worker finds it again
    assert Store(url).url == found.url


def test_a_worker_elsewhere_has_an_identity_of_its_own(tmp_path: Path) -> None:
    found = locate("s3://lake/a?table=mine&profile=p&region=eu-west-1")
    assert found.worker_url == "s3://lake/a?table=mine&region=eu-west-1"
    assert locate(tmp_path).worker_url == str(tmp_path)


def test_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert locate("store") == locate(tmp_path / "store") == Folder(tmp_path / "store")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="is a file; a store is a folder"):
        locate("file")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gs://lake/a", "a store is a folder, or s3://bucket/prefix"),
        (Path("s3://lake/a"), "given as text"),
        ("s3://", "not a bucket name"),
        ("s3:///a", "not a bucket name"),
        ("s3://la ke/a", "not a bucket name"),
        ("s3://key:secret@lake/a", "not a bucket name"),
        ("s3://lake/a?tabel=x", "has the options table, profile, region, endpoint"),
        ("s3://lake/a?table=x&table=y", "each once"),
        ("s3://lake/a#b", "and no others"),
        ("s3://lake/a?table=x", "3 to 255 letters"),
        ("s3://lake/a?table=", "3 to 255 letters"),
        ("s3://lake/a//b", "path 'a//b'"),
        ("s3://lake/.a", "path '.a'"),
        (f"s3://lake/{'a' * 150}", "prefix .* is longer than 123"),
    ],
)
def test_mistakes(url: str | Path, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        Store(url)
