"""From what a user names to the feed that it is."""

from __future__ import annotations

import os
import sys

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import STDIN
from runtime.ingest.inputs.settings import Settings
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import Feed
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.line_feed import LineFeed

BEGINNING, END, COMMITTED = "beginning", "end", "committed"
STARTS = (BEGINNING, END, COMMITTED)
"""Where a feed starts: with all that is there; behind what is there when it is watched for the first time; behind the
lines of a pipe that are committed, if its producer begins with its first line again."""


def open_feed(
    source: str,
    catalogue: Catalogue,
    stream: str,
    *,
    name: str | None,
    start: str,
    settings: Settings,
    settled: float,
) -> Feed:
    """The feed ``source``: ``-``, a named pipe, a folder, or a pattern of files."""
    is_pipe = source == "-" or (os.path.exists(source) and not os.path.isdir(source) and not os.path.isfile(source))
    if is_pipe:
        if start == END:
            raise IngestError(f"a pipe has no end to start from: --from is {BEGINNING} or {COMMITTED}.")
        called = STDIN if source == "-" else os.path.abspath(source)
        chain = SourceChain(catalogue, stream, name or called, name or called)
        fd = sys.stdin.fileno() if source == "-" else os.open(source, os.O_RDONLY)
        return LineFeed(fd, called, chain, settings, start == COMMITTED)
    if start == COMMITTED:
        raise IngestError(f"a folder goes on behind what is committed anyway: --from is {BEGINNING} or {END}.")
    called = name or os.path.abspath(source)

    def chain_of(part: str) -> SourceChain:
        return SourceChain(catalogue, stream, f"{called}\n{part}", called)

    def is_ingested(digest: str) -> bool:
        return catalogue.is_ingested(stream, digest) is not None

    return FolderFeed(source, chain_of, is_ingested, settings, settled, start == END)
