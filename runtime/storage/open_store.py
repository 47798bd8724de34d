"""A store that is open: its objects, its catalogue and its point files, for whatever reads them."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from runtime.catalogue import FileEntry
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile
from runtime.storage.locations import locate
from runtime.storage.open_files import OpenedFiles

# Catalogues are imported when one is asked for: a worker, which only opens files, starts without.
if TYPE_CHECKING:
    from runtime.aws.kms import Signer
    from runtime.catalogue import Catalogue


class OpenStore:
    """What ``Store`` is below its questions: the folder or URL, opened when first used. Safe for threads."""

    _shared: ClassVar[dict[tuple[type, str], OpenStore]] = {}
    _shared_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, url: str | Path, create: bool = False) -> None:
        self._location = locate(url)
        self.url = self._location.url
        self._create = create
        self.signer: Signer | None = None
        """Signs what is published here, and verifies what is run by name; None: the one that ANTFOLD_MAC_KEY names."""

    @classmethod
    def shared(cls, url: str) -> Self:
        """The one store object of this process for ``url``: workers keep it between tasks."""
        with cls._shared_lock:
            found = cls._shared.get((cls, url))
            if found is None:
                found = cls._shared[cls, url] = cls(url)
            return found  # type: ignore[return-value]

    @cached_property
    def objects(self) -> ObjectStore:
        """The point files and rejects."""
        return self._location.objects()

    @cached_property
    def opened(self) -> OpenedFiles:
        """The point files that are open."""
        return OpenedFiles(self.objects)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue; StoreError if there is none and none is to be made."""
        return self._location.catalogue(lambda: self._create)

    def close(self) -> None:
        """Give back what the store holds open; it opens again when used."""
        if "catalogue" in self.__dict__:
            self.catalogue.close()
            del self.__dict__["catalogue"]
        if "objects" in self.__dict__:
            self.objects.close()
            del self.__dict__["objects"]
            self.__dict__.pop("opened", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def open_file(self, entry: FileEntry) -> PointFile:
        """The point file of a catalogue entry; opened files are remembered."""
        return self.opened.open(entry)

    def files(self, stream: str) -> Sequence[FileEntry]:
        """The point files of one stream, by day and commit."""
        return self.catalogue.snapshot(stream).files

    def signing(self) -> Signer | None:
        """What queries and kernels are signed with: ``signer``, or the key that the environment names."""
        from runtime.aws.kms import signer_of_environment

        return self.signer or signer_of_environment(self._location.access)
