"""The head file: a small file beside the catalogue with the last commits, replaced durably after each commit.

It detects an older catalogue (a copy without its write-ahead log, a restored file): a log that ends before its head is
damaged. A head behind the log is fine: a process was stopped between its commit and this file.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from uuid import uuid4

from operators.files import read_bytes, sync_folder
from runtime.catalogue.items import seal
from runtime.catalogue.items.item_bytes import dump, load
from runtime.catalogue.key_value import Heads
from runtime.errors import StoreError

_PLACE = ("HEADS", "HEADS", 0)


class HeadFile:
    """The file beside the catalogue ``path``: its name with ``-head``."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(f"{path.name}-head")

    def exists(self) -> bool:
        """Whether the file is there."""
        return self.path.exists()

    def read(self) -> Heads | None:
        """The heads; None without the file, FormatError if it is damaged, StoreError if it cannot be read."""
        try:
            body = read_bytes(self.path)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(f"the catalogue's head {self.path} cannot be read: {error.strerror or error}.") from error
        what = f"head {self.path.name}"
        if not seal.is_sealed(body):
            raise seal.damaged(what, "it has no checksum")
        data = load(seal.open_json(*_PLACE, body, what), what)
        if data["version"] != 1:
            raise StoreError(f"{self.path} was written by a newer version: update this program.")
        return {str(stream): (int(seq), str(hash_)) for stream, (seq, hash_) in data["streams"].items()}

    def write(self, heads: Heads) -> None:
        """Replace the file atomically; durable on return."""
        payload = dump({"version": 1, "streams": {stream: list(head) for stream, head in sorted(heads.items())}})
        temporary = self.path.with_name(f"{self.path.name}.part-{uuid4().hex}")
        try:
            with temporary.open("xb") as file:
                file.write(seal.sealed_json(*_PLACE, payload))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        sync_folder(self.path.parent)
