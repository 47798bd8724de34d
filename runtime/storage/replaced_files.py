"""What readers of points are told: that files were replaced, and collected a day later, while they ran, or that memory
does not suffice."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from operators.errors import DataflowError
from runtime.catalogue import Catalogue
from runtime.errors import SnapshotTooOld, not_enough_memory

_MISSING = re.compile(r"data/([^/\s']+)/[^/\s']+/[a-z0-9]+-\d+\.points(?=' is missing in)")


class HasCatalogue(Protocol):
    """An open store."""

    @property
    def catalogue(self) -> Catalogue:
        """Its catalogue."""
        ...


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=HasCatalogue)


def too_old(store: HasCatalogue, error: DataflowError) -> SnapshotTooOld | None:
    """The error for a query that failed with ``error`` because a file was replaced since; None if none was.

    A missing file is known by the error's text: it comes from threads, processes and workers alike.
    """
    found = _MISSING.search(str(error))
    if found is None:
        return None
    seq = store.catalogue.replaced(found[1], found[0])
    if seq is None:
        return None
    return SnapshotTooOld(
        f"{found[0]!r} was replaced by commit {seq} and removed while the query ran: repeat the query, and it "
        "reads the files that replaced it."
    )


def of_present_files(ask: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The method of a store, which says so when a file that it planned to read was replaced, or memory is short."""

    @wraps(ask)
    def asked(store: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return ask(store, *args, **kwargs)
        except DataflowError as error:
            other = too_old(store, error)
            if other is None:
                raise
            raise other from error
        except MemoryError:
            raise not_enough_memory(ask.__name__) from None
        except RuntimeError as error:
            if "start new thread" not in str(error):
                raise
            raise not_enough_memory(f"{ask.__name__}, starting a thread") from None

    return asked
