"""The contract of every ``ObjectStore``. A subclass provides the fixture ``objects`` (an empty store)."""

from __future__ import annotations

import threading

import pytest

from runtime.errors import StoreError
from runtime.objects import FileMissing, ObjectStore


class ObjectStoreContract:
    """A subclass gives the fixture ``objects``: an empty store."""

    def test_what_is_put_is_read(self, objects: ObjectStore) -> None:
        data = bytes(range(256)) * 500
        objects.put("data/s/2024-03-01/a-0.points", data)
        assert objects.size("data/s/2024-03-01/a-0.points") == len(data)
        assert objects.read("data/s/2024-03-01/a-0.points", 0, len(data)) == data
        assert objects.read("data/s/2024-03-01/a-0.points", 1000, 17) == data[1000:1017]
        assert objects.read("data/s/2024-03-01/a-0.points", len(data), 0) == b""

    def test_an_empty_object(self, objects: ObjectStore) -> None:
        objects.put("a", b"")
        assert objects.size("a") == 0
        assert objects.read("a", 0, 0) == b""

    def test_an_identical_object_may_be_put_again(self, objects: ObjectStore) -> None:
        objects.put("a/b", b"same")
        objects.put("a/b", b"same")
        assert objects.read("a/b", 0, 4) == b"same"

    @pytest.mark.parametrize("other", [b"diff", b"", b"longer than before"])
    def test_an_object_never_changes(self, objects: ObjectStore, other: bytes) -> None:
        objects.put("a/b", b"same")
        with pytest.raises(StoreError, match=r"a/b.*already exists with other content"):
            objects.put("a/b", other)
        assert objects.read("a/b", 0, objects.size("a/b")) == b"same"

    @pytest.mark.parametrize(("offset", "length"), [(0, 6), (5, 1), (6, 1), (3, 100), (1 << 40, 1)])
    def test_a_short_read_is_an_error(self, objects: ObjectStore, offset: int, length: int) -> None:
        objects.put("a", b"12345")
        with pytest.raises(StoreError, match="'a'"):
            objects.read("a", offset, length)

    @pytest.mark.parametrize(("offset", "length"), [(-1, 2), (0, -1)])
    def test_a_negative_range_is_an_error(self, objects: ObjectStore, offset: int, length: int) -> None:
        objects.put("a", b"12345")
        with pytest.raises(StoreError, match="negative"):
            objects.read("a", offset, length)

    def test_a_missing_object_is_an_error(self, objects: ObjectStore) -> None:
        with pytest.raises(FileMissing, match="'no/such'"):
            objects.read("no/such", 0, 1)
        with pytest.raises(FileMissing, match="'no/such'"):
            objects.read("no/such", 0, 0)
        with pytest.raises(FileMissing, match="'no/such'"):
            objects.size("no/such")

    def test_delete(self, objects: ObjectStore) -> None:
        objects.put("a/b", b"1")
        objects.put("a/c", b"2")
        assert objects.read("a/b", 0, 1) == b"1"
        objects.delete("a/b")
        objects.delete("a/b")
        objects.delete("never/was")
        with pytest.raises(FileMissing):
            objects.read("a/b", 0, 1)
        assert [o.path for o in objects.list("")] == ["a/c"]
        objects.put("a/b", b"new")
        assert objects.read("a/b", 0, 3) == b"new"

    def test_delete_with_versions(self, objects: ObjectStore) -> None:
        """Nothing of it stays; others whose names begin with its name do."""
        for data in (b"1", b"22"):
            objects.put("a/b", data)
            objects.put("a/bc", b"3")
            objects.delete("a/b", versions=True)
            objects.delete("a/b", versions=True)
            with pytest.raises(FileMissing):
                objects.size("a/b")
        objects.delete("never/was", versions=True)
        assert [o.path for o in objects.list("")] == ["a/bc"]

    def test_discard_deleted(self, objects: ObjectStore) -> None:
        """What is there stays, and so does what was deleted below another prefix."""
        for path in ("data/s/a", "data/s/b", "data/st/c"):
            objects.put(path, b"1")
        objects.delete("data/s/a")
        objects.delete("data/st/c")
        assert not objects.discard_deleted("data/s/", but={"data/s/a"})
        for dry_run in (True, False, False):
            assert {o.path for o in objects.discard_deleted("data/s/", dry_run)} <= {"data/s/a"}
            assert [o.path for o in objects.list("")] == ["data/s/b"]
        assert objects.read("data/s/b", 0, 1) == b"1"
        assert not objects.discard_deleted("data/s/")

    def test_what_is_whole_is_not_temporary(self, objects: ObjectStore) -> None:
        objects.put("data/x", b"1")
        for dry_run in (True, False):
            assert not objects.discard_temporary(1 << 62, dry_run)
        assert objects.read("data/x", 0, 1) == b"1"

    def test_list(self, objects: ObjectStore) -> None:
        # The clock is that of the store (a file system's, a service's), which need not be this process's.
        objects.put("clock", b"")
        (stamp,) = (o.modified for o in objects.list("clock"))
        assert 1.5e15 < stamp < 9e15  # microseconds of these centuries
        objects.delete("clock")
        paths = ["data/s/x-0", "data/s/x/1", "data/s-t/1", "data/s.t/1", "data/s/x.y", "data2/a", "rejects/a"]
        for path in paths:
            objects.put(path, path.encode())
        prefixes = [
            "",
            "data",
            "data/",
            "data/s",
            "data/s/",
            "data/s/x",
            "data/s/x/",
            "rejects/a",
            "none",
            "data/s/x/1/2",
        ]
        for prefix in prefixes:
            found = list(objects.list(prefix))
            assert [o.path for o in found] == sorted(p for p in paths if p.startswith(prefix)), prefix
            assert [o.size for o in found] == [len(o.path) for o in found]
            assert all(stamp - 1_000_000 <= o.modified <= stamp + 600_000_000 for o in found)

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/a",
            "a/",
            "a//b",
            "..",
            "a/../b",
            "a/./b",
            ".a",
            "a/.b",
            "a\\b",
            "a b",
            "a\0b",
            "ä",
            "a\n",
            "x" * 201,
            "a/" * 500 + "a",
        ],
    )
    def test_bad_paths(self, objects: ObjectStore, path: str) -> None:
        for call in (lambda: objects.put(path, b""), lambda: objects.read(path, 0, 0), lambda: objects.size(path)):
            with pytest.raises(StoreError, match="path"):
                call()
        with pytest.raises(StoreError, match="path"):
            objects.delete(path)

    def test_one_of_many_writers_wins(self, objects: ObjectStore) -> None:
        """All at once, each with other content: one succeeds, and its content is what stays."""
        barrier = threading.Barrier(8)
        outcomes: dict[int, str] = {}

        def write(i: int) -> None:
            barrier.wait()
            try:
                objects.put("race/x", bytes([i]) * 100_000)
                outcomes[i] = "put"
            except StoreError:
                outcomes[i] = "refused"

        threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        winners = [i for i, outcome in outcomes.items() if outcome == "put"]
        assert len(winners) == 1
        assert len(outcomes) == 8
        assert objects.read("race/x", 0, 100_000) == bytes(winners) * 100_000
        assert [o.path for o in objects.list("")] == ["race/x"]

    def test_many_readers(self, objects: ObjectStore) -> None:
        """More files than any cache of open ones, from several threads, while some are deleted."""
        for i in range(150):
            objects.put(f"f/{i}", bytes([i]) * 1000)
        wrong: list[object] = []

        def read(start: int) -> None:
            for k in range(200):
                i = (start + k * 7) % 150
                try:
                    if objects.read(f"f/{i}", 3, 900) != bytes([i]) * 900:
                        wrong.append(i)
                except FileMissing:
                    if i < 140:
                        wrong.append(i)

        threads = [threading.Thread(target=read, args=(i * 31,)) for i in range(4)]
        for thread in threads:
            thread.start()
        for i in range(140, 150):
            objects.delete(f"f/{i}")
        for thread in threads:
            thread.join()
        assert not wrong
