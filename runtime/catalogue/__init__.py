"""The catalogue: which files make up each stream, as of which commit, and from which sources. See CATALOGUE.md."""

from __future__ import annotations

from typing import TYPE_CHECKING

from operators.lazy_imports import late
from runtime.catalogue.items.changes import Erasure, Gone, Left, TakenBack
from runtime.catalogue.items.entries import (
    DAY,
    AlreadyIngested,
    Committed,
    Deletion,
    FileEntry,
    Record,
    SourceEntry,
    Waiting,
    attempt_of,
    check_stream,
    day_name,
    file_path,
    new_attempt,
    set_hash,
)
from runtime.catalogue.items.schema import StreamSchema

if TYPE_CHECKING:
    from runtime.catalogue.catalogue import Catalogue, DynamoCatalogue, SqliteCatalogue, TableCatalogue
    from runtime.catalogue.claims import AttemptSwept
    from runtime.catalogue.day_rows import DayFiles
    from runtime.catalogue.deletions import Superseded
    from runtime.catalogue.key_value import KeyValueTable, OutcomeUnknown
    from runtime.catalogue.snapshot import Snapshot

# A worker's request contains its files and schema; it opens no catalogue.
__getattr__ = late(
    __name__,
    {
        "runtime.catalogue.catalogue": ("Catalogue", "DynamoCatalogue", "SqliteCatalogue", "TableCatalogue"),
        "runtime.catalogue.day_rows": ("DayFiles",),
        "runtime.catalogue.deletions": ("Superseded",),
        "runtime.catalogue.snapshot": ("Snapshot",),
        "runtime.catalogue.claims": ("AttemptSwept",),
        "runtime.catalogue.key_value": ("OutcomeUnknown", "KeyValueTable"),
    },
)

__all__ = [
    "DAY",
    "AlreadyIngested",
    "AttemptSwept",
    "Catalogue",
    "Committed",
    "DayFiles",
    "Deletion",
    "DynamoCatalogue",
    "Erasure",
    "FileEntry",
    "Gone",
    "KeyValueTable",
    "Left",
    "OutcomeUnknown",
    "Record",
    "Snapshot",
    "SourceEntry",
    "SqliteCatalogue",
    "StreamSchema",
    "Superseded",
    "TableCatalogue",
    "TakenBack",
    "Waiting",
    "attempt_of",
    "check_stream",
    "day_name",
    "file_path",
    "new_attempt",
    "set_hash",
]
