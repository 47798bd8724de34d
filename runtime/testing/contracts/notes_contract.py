"""The contract of every ``Catalogue`` for aliases and notes. A subclass provides the fixture ``catalogue`` (an empty
one)."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from runtime.catalogue import Catalogue
from runtime.testing.contracts.catalogue_contract import D, add, source


class NotesContract:
    """A subclass gives the fixture ``catalogue``: an empty one."""

    def test_an_alias_is_no_source(self, catalogue: Catalogue) -> None:
        add(catalogue, "a", D)
        before = catalogue.snapshot("s")
        place, one = source("place").id, source("a").id
        assert catalogue.alias("s", place) is None
        for _ in range(2):
            catalogue.put_alias("s", place, one)
            assert catalogue.alias("s", place) == one
        assert catalogue.alias("t", place) is None
        assert [entry.id for entry in catalogue.sources("s")] == [one]
        assert catalogue.is_ingested("s", place) is None
        after = catalogue.snapshot("s")
        assert (after.seq, after.sources, after.total_rows) == (before.seq, before.sources, before.total_rows)
        assert catalogue.audit("s") == []
        catalogue.put_alias("s", place, source("b").id)
        assert catalogue.alias("s", place) == source("b").id
        with pytest.raises(ValueError, match="are SHA-256"):
            catalogue.put_alias("s", "a", one)

    def test_an_alias_outlives_its_source(self, catalogue: Catalogue) -> None:
        """The source may be taken back, and the stream erased: what it names is asked of the list of sources."""
        files = add(catalogue, "a", D)
        catalogue.put_alias("s", source("place").id, source("a").id)
        assert catalogue.erase_all("s", files, "e" * 32, 1) is not None
        assert catalogue.alias("s", source("place").id) == source("a").id
        assert catalogue.is_ingested("s", source("a").id) is None
        assert catalogue.audit("s") == []

    def test_notes(self, catalogue: Catalogue) -> None:
        assert catalogue.note("of a pass") is None
        catalogue.change_note("of a pass", lambda held: {"n": 1, "before": held})
        assert catalogue.note("of a pass") == {"n": 1, "before": None}
        catalogue.change_note("of a pass", lambda held: {"n": 2, "before": held})
        assert catalogue.note("of a pass") == {"n": 2, "before": {"n": 1, "before": None}}
        assert catalogue.note("another") is None
        assert catalogue.streams() == []
        assert catalogue.problems() == []

    def test_changes_at_once_are_all_made(self, catalogue: Catalogue) -> None:
        def more(held: Mapping[str, Any] | None) -> Mapping[str, Any]:
            return {"n": 1 + (0 if held is None else held["n"])}

        def work() -> None:
            for _ in range(5):
                catalogue.change_note("n", more)

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert catalogue.note("n") == {"n": 15}
