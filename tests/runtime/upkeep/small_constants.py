"""Small tasks, spans, tiers and windows, so that a few rows meet all of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from runtime.ingest import day_spans
from runtime.query.plan import make_tasks
from runtime.query.scan import merge_rows
from runtime.upkeep import rewrite, spans


@contextmanager
def small_constants(sparse: bool = True) -> Iterator[pytest.MonkeyPatch]:
    """``sparse``: sources of few rows a day write files of several days, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_tasks, "_SMALL", 5)
        patch.setattr(merge_rows, "FEWEST", 6)
        patch.setattr(merge_rows, "MOST", 20)
        if sparse:
            patch.setattr(day_spans, "FEW_DAYS", 1)
            patch.setattr(day_spans, "SPARSE", 6)
        for module in (spans, rewrite):
            patch.setattr(module, "FULL", 12)
        patch.setattr(spans, "FAN", 2)
        yield patch
