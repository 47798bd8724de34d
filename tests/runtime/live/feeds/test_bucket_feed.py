"""A prefix of a bucket that is watched: each record exactly once, however objects are written and watchers end."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import boto3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.errors import IngestError, StoreError
from runtime.live.feeds import alike_files
from runtime.live.feeds.bucket_files import BucketPrefix, open_bucket
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.read_objects import ReadObjects
from tests.runtime.live.feeds.fake_bucket import AWAY, FakeBucket, Killed, refused, served, watched
from tests.runtime.live.feeds.watched import STREAM, check_scenarios, lines, numbers_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def bucket() -> Iterator[FakeBucket]:
    bucket = FakeBucket()
    with served(bucket):
        yield bucket


def test_each_object_is_read_once(store: Store, bucket: FakeBucket) -> None:
    bucket.page = 2
    for n in range(5):
        bucket.objects[f"in/2026/{n}.ndjson"] = lines(n).encode()
    watch = watched(store, bucket)
    bucket.sent.clear()
    assert watch.look() == [("ingested", 1)] * 5
    assert bucket.sent == {"list": 3, "get": 5}
    bucket.sent.clear()
    assert watch.look() == []
    assert watched(store, bucket).look() == []  # another process knows them without reading them
    assert bucket.sent == {"list": 7}
    bucket.objects["in/0.ndjson"] = lines(5).encode()  # a key before all others
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == list(range(6))


def test_an_object_that_is_replaced_by_a_longer_version(store: Store, bucket: FakeBucket) -> None:
    bucket.objects["in/a.csv"] = b"k,t,n\na,1,1\n"
    watch = watched(store, bucket)
    assert watch.look() == [("ingested", 1)]
    bucket.objects["in/a.csv"] += b"a,2,2\n"
    assert watch.look() == [("ingested", 1)]
    bucket.objects["in/a.csv"] += b"a,3,3\n"
    assert watched(store, bucket).look() == [("ingested", 1)]
    bucket.objects["in/a.csv"] = b"k,t,n\na,9,9\n" + bucket.objects["in/a.csv"][12:]  # only its end is the same
    assert watch.look() == [("ingested", 3)]
    assert numbers_in(store) == [1, 2, 2, 3, 3, 9]


def test_all_of_a_replaced_object_is_compared(store: Store, bucket: FakeBucket) -> None:
    """However many of its last bytes are those of before."""
    numbers = range(100, 140)
    bucket.objects["in/a.ndjson"] = lines(*numbers).encode()
    watch = watched(store, bucket)
    assert watch.look() == [("ingested", 40)]
    bucket.objects["in/a.ndjson"] = lines(100, 999, *numbers[2:], 140).encode()
    assert watch.look() == [("ingested", 41)]


def test_a_last_line_without_an_end(store: Store, bucket: FakeBucket) -> None:
    watch = watched(store, bucket)
    bucket.objects["in/a.ndjson"] = lines(1, 2).rstrip("\n").encode()
    assert watch.look(5) == [("ingested", 1)]
    assert watch.look(10) == [("ingested", 1)]
    bucket.objects["in/b.ndjson"] = (lines(3) + lines(4)[:9]).encode()
    assert watch.look(13) == [("ingested", 1)]
    bucket.sent.clear()
    assert watch.look(3) == []  # half of a record is not read again until there is more
    assert bucket.sent == {"list": 3}
    bucket.objects["in/b.ndjson"] = lines(3, 4).encode()
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 3, 4]


def test_whole_objects(store: Store, bucket: FakeBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    bucket.objects["in/a.json"] = b'[{"k": "a", "t": 1, "n": 1},\n {"k": "a", "t": 2, "n": 2}]'
    bucket.objects["in/b.ndjson.gz"] = gzip.compress(lines(3).encode())
    watch = watched(store, bucket)
    assert watch.look(10) == []
    assert sorted(watch.look()) == [("ingested", 1), ("ingested", 2)]
    bucket.sent.clear()
    assert watched(store, bucket).look(12) == []
    assert bucket.sent["get"] == 0
    bucket.objects["in/b.ndjson.gz"] += gzip.compress(lines(4).encode())
    bucket.objects["in/a.json"] = b'[{"k": "a", "t": 5, "n": 5}]'
    assert sorted(watch.look(12)) == [("failed", 0), ("ingested", 1)]
    assert "has grown since" in str(store.quarantined(STREAM)[0].entry.quarantined)
    assert numbers_in(store) == [1, 2, 3, 5]
    assert not list(tmp_path.glob("antfold-*"))  # copies are gone


def test_names_that_are_left_and_copies(store: Store, bucket: FakeBucket) -> None:
    for key in ("in/.a.ndjson", "in/.git/a.ndjson", "in/b.ndjson.part", "in/c.tmp", "in/d/", "into/e.ndjson", "f"):
        bucket.objects[key] = b"" if key.endswith("/") else lines(7).encode()
    bucket.objects["in/a.ndjson"] = bucket.objects["in/copy.ndjson"] = lines(1).encode()
    watch = watched(store, bucket)
    assert watch.look(2) == [("ingested", 1)]
    store.ingest(STREAM, {"k": ["a"], "t": [2], "n": [2]}, progress=False)
    bucket.objects["in/b.ndjson"] = bucket.objects.pop("in/b.ndjson.part")
    assert watch.look() == [("ingested", 1)]
    assert numbers_in(store) == [1, 2, 7]


def test_from_the_end(store: Store, bucket: FakeBucket) -> None:
    bucket.objects["in/a.ndjson"] = lines(1, 2).encode()
    bucket.objects["in/b.json"] = b"[]"
    watch = watched(store, bucket, start="end")
    assert watch.look() == [("ingested", 0)]
    bucket.objects["in/a.ndjson"] += lines(3).encode()
    bucket.objects["in/c.ndjson"] = lines(4).encode()
    assert watch.look() == [("ingested", 1)] * 2
    assert numbers_in(store) == [3, 4]


def test_what_fails_is_said_once_and_tried_again(store: Store, bucket: FakeBucket) -> None:
    for n in range(3):
        bucket.objects[f"in/{n}.ndjson"] = lines(n).encode()
    bucket.denied = {"in/1.ndjson"}
    watch = watched(store, bucket)
    assert watch.look() == [("ingested", 1), ("unreadable", 0), ("ingested", 1)]
    assert str(watch.reports[1].error).startswith("cannot read s3://lake/in/1.ndjson (s3): permission denied")
    bucket.sent.clear()
    assert watch.look(55) == []  # it is said once, and not asked for at every look
    assert bucket.sent["get"] == 0
    for failure, said in (
        (AWAY, "s3.local cannot be reached"),
        (refused(503, "SlowDown"), "SlowDown"),
        (refused(403, "ExpiredToken"), "expired"),
    ):
        bucket.failure = failure
        assert watch.look(3) == [("unreadable", 0)], said
        (report,) = watch.reports
        assert said in str(report.error)
        assert str(report.error).endswith("; it is tried again")
        bucket.failure = None
        watch.look()
    bucket.denied = set()
    assert watch.look(70) == [("ingested", 1)]
    assert numbers_in(store) == [0, 1, 2]


def test_an_object_that_goes_or_is_replaced_before_it_is_read(store: Store, bucket: FakeBucket) -> None:
    bucket.objects |= {"in/a.ndjson": lines(1).encode(), "in/b.ndjson": lines(2).encode()}

    def changed(key: str) -> None:
        if key == "in/a.ndjson":
            bucket.objects.pop(key, None)
        elif bucket.objects[key] == lines(2).encode():
            bucket.objects[key] = lines(2, 3).encode()

    bucket.before_get = changed
    watch = watched(store, bucket)
    assert watch.look() == []
    assert watch.look() == [("ingested", 2)]
    assert numbers_in(store) == [2, 3]


def test_a_whole_object_that_is_replaced_before_it_is_read(store: Store, bucket: FakeBucket) -> None:
    """What is read is of the version that was listed, not some of one and some of another."""
    document = b'[{"k": "a",\n "t": 1, "n": %d}]'
    bucket.objects["in/a.json"] = document % 1
    watch = watched(store, bucket)
    watch.look(9)

    def replaced(key: str) -> None:
        bucket.objects[key] = document % 12_345

    bucket.before_get = replaced
    watch.feed._place._window = None  # type: ignore[attr-defined]
    assert watch.look(14) == [("ingested", 1)]
    assert numbers_in(store) == [12_345]


def test_a_bucket_that_is_deleted(store: Store, bucket: FakeBucket) -> None:
    watch = watched(store, bucket)
    watch.look()
    bucket.failure = refused(404, "NoSuchBucket")
    with pytest.raises(IngestError, match="the bucket does not exist"):
        watch.look()


def test_many_objects_that_begin_alike(store: Store, bucket: FakeBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alike_files, "MOST_ALIKE", 3)
    watch = watched(store, bucket)
    for n in range(6):  # those that are gone are forgotten
        bucket.objects[f"in/{n}.ndjson"] = lines(0, 10 + n).encode()
        watch.look()
        if n < 4:
            del bucket.objects[f"in/{n}.ndjson"]
    assert len(watch.feed._parts) <= 1
    watch = watched(store, bucket)
    bucket.objects["in/6.ndjson"] = lines(0, 16).encode()
    watch.look()
    bucket.objects["in/7.ndjson"] = lines(0, 17).encode()
    with pytest.raises(IngestError, match="more than 3 files begin with the same record"):
        watch.look()


def test_a_stream_that_was_erased_is_read_anew(store: Store, bucket: FakeBucket) -> None:
    """Notes of what was read before count no more, also where a source of the same number is there again."""
    bucket.objects |= {"in/b.ndjson": lines(0, 1).encode()}
    watched(store, bucket).look()
    bucket.objects |= {"in/a.ndjson": lines(0, 2).encode()}
    watched(store, bucket).look()
    store.erase(STREAM)
    watched(store, bucket).look(2)
    assert numbers_in(store) == [0, 0, 1, 2]


def test_a_visit_goes_on_at_the_next_look(store: Store, bucket: FakeBucket) -> None:
    """However many objects there are, each has its turn."""
    bucket.page = 1
    for n in range(6):
        bucket.objects[f"in/{n}.ndjson"] = lines(n).encode()
    watch = watched(store, bucket)
    watch.watcher.every = 0.5
    list_ = bucket.list_objects_v2

    def slow(**asked: Any) -> Any:
        watch.now += 0.4
        return list_(**asked)

    bucket.list_objects_v2 = slow  # type: ignore[method-assign]
    assert len(watch.look()) == 2
    assert len(watch.look(2)) == 4
    assert watch.look(6) == []
    assert numbers_in(store) == list(range(6))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("s3://", "names the objects below a prefix"),
        ("s3://b!/x", "names the objects below a prefix"),
        ("s3://lake/in/*.csv", "without patterns"),
        ("s3://lake/in?regoin=x", "there is no regoin=x; did you mean 'region'"),
        ("s3://lake/in?region=", "there is no region="),
        ("s3://lake/in?region=a&region=b", "given twice"),
    ],
)
def test_addresses_that_are_none(source: str, said: str) -> None:
    with pytest.raises(IngestError, match=said):
        BucketPrefix.of(source)


def test_addresses() -> None:
    assert [str(BucketPrefix.of(f"s3://lake{end}")) for end in ("", "/", "/a", "/a/b/", "/a?region=x")] == [
        "s3://lake/", "s3://lake/", "s3://lake/a/", "s3://lake/a/b/", "s3://lake/a/",
    ]  # fmt: skip


GIVEN = {"key": "k", "time": "t", "unit": "s", "until_idle": "100ms", "every": "50ms"}


def test_a_bucket_of_s3(store: Store, aws: None) -> None:
    """By boto3, with keys of any letters, and pages."""
    s3 = boto3.client("s3")
    for n, key in enumerate(("in/ä b+%20.ndjson", "in/sub/a.ndjson", "in/a#?.ndjson")):
        s3.put_object(Bucket="lake", Key=key, Body=lines(n))
    done = store.watch(STREAM, "s3://lake/in?region=us-east-1", **GIVEN)
    assert (done.sources, done.rows) == (3, 3)
    assert store.watch(STREAM, "s3://lake/in/", **GIVEN).sources == 0
    s3.put_object(Bucket="lake", Key="in/sub/a.ndjson", Body=lines(1, 4))
    assert store.watch(STREAM, "s3://lake/in", **GIVEN).rows == 1
    assert numbers_in(store) == [0, 1, 2, 4]
    assert store.query(df.stream(STREAM).agg(n=df.count()), progress=False)["n"] == [4]
    files = open_bucket("s3://lake/in")
    files._client.boto.meta.events.register("provide-client-params.s3.ListObjectsV2", _two)
    assert [len(page) for page in files.listed()] == [2, 1]
    files.close()


def _two(params: dict[str, object], **_: object) -> None:
    params["MaxKeys"] = 2


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ("s3://none/in", StoreError, "the bucket does not exist"),
        ("s3://lake/in/a.ndjson", IngestError, "s3://lake/in/a.ndjson is an object: watch a prefix"),
    ],
)
def test_what_cannot_be_watched(store: Store, aws: None, source: str, error: type[Exception], said: str) -> None:
    boto3.client("s3").put_object(Bucket="lake", Key="in/a.ndjson", Body=lines(1))
    with pytest.raises(error, match=said):
        store.watch(STREAM, source, **GIVEN)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": "committed"}, "files go on behind what is committed anyway"),
        ({"connection": {"a": "b"}}, "only a feed of kafka://, .* has settings of a connection"),
    ],
)
def test_options_that_do_not_fit(store: Store, aws: None, options: dict[str, Any], said: str) -> None:
    with pytest.raises(IngestError, match=said):
        store.watch(STREAM, "s3://lake/in", **GIVEN, **options)


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["new", "longer", "pause", "replace", "copy", "delete", "whole", "race", "look", "other",
                         "restart", "away", "killed", "killed"]),
        st.integers(0, 30),
    ),
    max_size=20,
)  # fmt: skip


@settings(max_examples=20)
@given(EVENTS)
@example([("longer", 0), ("look", 1), ("longer", 0), ("killed", 7), ("restart", 0), ("copy", 0), ("race", 3)])
def test_each_record_exactly_once(tmp_path_factory: pytest.TempPathFactory, events: list[tuple[str, int]]) -> None:
    bucket, numbers = FakeBucket(page=3), iter(range(1, 10_000))
    written: list[int] = []

    def text(count: int) -> bytes:
        new = [next(numbers) for _ in range(count)]
        written.extend(new)
        return lines(*new).encode()

    with Store(tmp_path_factory.mktemp("bucket") / "store", create=True) as store, served(bucket):
        both = [watched(store, bucket) for _ in range(2)]
        for kind, which in events:
            key = f"in/{which % 3}.ndjson"
            if kind == "new":
                bucket.objects[f"in/{which % 5}/{len(written)}.ndjson"] = text(1 + which % 3)
            elif kind == "longer":
                bucket.objects[key] = bucket.objects.get(key, b"") + text(1)
            elif kind == "pause":
                bucket.objects[key] = bucket.objects.get(key, b"") + text(1).rstrip(b"\n")
                both[0].look(13)
                bucket.objects[key] += b"\n"
            elif kind in ("replace", "delete"):
                both[0].look(13)
                bucket.objects.pop(key, None)
                if kind == "replace":
                    bucket.objects[key] = text(2)
            elif kind == "copy" and key in bucket.objects:
                bucket.objects[f"in/copy{which % 2}"] = bucket.objects[key]
                both[1].look(13)
            elif kind == "whole":
                n = next(numbers)
                written.append(n)
                bucket.objects[f"in/{n}.json"] = b'[{"k": "a",\n "t": %d, "n": %d}]' % (n, n)
            elif kind == "race":
                bucket.objects[f"in/race{which}"] = bucket.objects.get(f"in/race{which}", b"") + text(1)
                bucket.before_get = _replaced(bucket, text)
                both[0].look()
                bucket.before_get = lambda key: None
            elif kind == "look":
                both[0].look(1 + which % 2)
            elif kind == "other":
                both[1].look()
            elif kind == "restart":
                both[which % 2] = watched(store, bucket)
            elif kind == "away":
                bucket.failure = AWAY
                both[0].look()
                bucket.failure = None
            else:  # at any step: of its requests, commits and notes
                bucket.steps.left = which
                with contextlib.suppress(Killed):
                    both[0].look(2)
                bucket.steps.left = None
                both[0] = watched(store, bucket)
        both[0].look(13)
        assert numbers_in(store) == sorted(written)
        assert watched(store, bucket).look(13) == []
        assert numbers_in(store) == sorted(written)


def _replaced(bucket: FakeBucket, text: Callable[[int], bytes]) -> Callable[[str], None]:
    """Once, an object gets a longer version after it was listed."""
    races = 1

    def before_get(key: str) -> None:
        nonlocal races
        if races and not key.endswith(".json") and bucket.objects[key].endswith(b"\n"):
            races -= 1
            bucket.objects[key] += text(1)

    return before_get


def noted_at_once(patch: pytest.MonkeyPatch) -> None:
    """An object is noted as read before the commit of its last piece."""
    real = FolderFeed._piece

    def piece(feed: FolderFeed, file: Any, data: bytes, offset: int) -> Any:
        made = real(feed, file, data, offset)
        before = made.chain.identity(made.number - 1)
        if offset == file.found.size and made.number > 1 and feed._noted is not None:
            feed._noted.note(file.found, before)
        return made

    patch.setattr(FolderFeed, "_piece", piece)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "noted before the commit": noted_at_once,
    "notes are of keys, not of versions": lambda patch: patch.setattr(
        ReadObjects, "_alias", lambda self, found: __import__("hashlib").sha256(found.path.encode()).hexdigest()
    ),
    "nothing is known by its content": lambda patch: patch.setattr(
        FolderFeed, "_find", _of_no_content(FolderFeed._find)
    ),
}


def _of_no_content(find: Any) -> Any:
    def found(feed: FolderFeed, file: Any, key: str) -> None:
        find(feed, file, key)
        file.read, file.hashed = None, __import__("hashlib").sha256()

    return found


KILLS = [
    [("longer", 0), ("look", 1), ("longer", 0), ("killed", step), ("restart", 0), *more]
    for step in range(0, 12, 2)
    for more in ([], [("copy", 0), ("race", 3)])
]
"""Each step of a process is its last once."""


@pytest.mark.parametrize("mutant", [None, *MUTANTS])
def test_mutants(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, mutant: str | None) -> None:
    law = test_each_record_exactly_once.hypothesis.inner_test
    plant = None if mutant is None else partial(MUTANTS[mutant], monkeypatch)
    check_scenarios(partial(law, tmp_path_factory), KILLS, plant)
