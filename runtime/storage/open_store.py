"""`OpenStore`: a store's objects, catalogue and point files, opened on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

from operators import forking
from runtime.catalogue import FileEntry
from runtime.objects import ObjectStore
from runtime.storage.locations import locate
from runtime.storage.open_files import OpenedFiles

# Catalogues are imported on demand: a worker only opens files and starts faster without them.
if TYPE_CHECKING:
    from runtime.aws.kms import Signer
    from runtime.catalogue import Catalogue


class OpenStore:
    """The part of ``Store`` below queries: the folder or URL, opened on first use. Thread-safe."""

    _shared: ClassVar[dict[tuple[type, str], OpenStore]] = {}
    _shared_lock = forking.lock()

    def __init__(self, url: str | Path, create: bool = False) -> None:
        self._location = locate(url)
        self.url = self._location.url
        self._create = create
        self.signer: Signer | None = None
        """Signs published queries and verifies them when they run; None: the key in ANTFOLD_MAC_KEY."""

    @classmethod
    def shared(cls, url: str) -> Self:
        """The process-wide store for ``url``: workers reuse it between tasks."""
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
        """The open point files."""
        return OpenedFiles(self.objects)

    @cached_property
    def catalogue(self) -> Catalogue:
        """The catalogue; StoreError if there is none and none may be created."""
        return self._location.catalogue(lambda: self._create)

    def close(self) -> None:
        """Release open resources; they are reopened on use."""
        if "catalogue" in self.__dict__:
            self.catalogue.close()
            del self.__dict__["catalogue"]
        if "objects" in self.__dict__:
            self.objects.close()
            del self.__dict__["objects"]
        if (opened := self.__dict__.pop("opened", None)) is not None:
            opened.close_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    @property
    def open_file(self) -> OpenedFiles:
        """Called with a catalogue entry: its point file, cached while open."""
        return self.opened

    def files(self, stream: str) -> Sequence[FileEntry]:
        """The point files of one stream, by day and commit."""
        return self.catalogue.snapshot(stream).files

    def signing(self) -> Signer | None:
        """The signer of queries and kernels: ``signer``, or the key that the environment names."""
        from runtime.aws.kms import signer_of_environment

        return self.signer or signer_of_environment(self._location.access)
