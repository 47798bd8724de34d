"""From what a user names to the feed that it is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import STDIN
from runtime.ingest.inputs.settings import Settings
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import Feed
from runtime.live.feeds.file_place import FilePlace
from runtime.live.feeds.folder_feed import FolderFeed
from runtime.live.feeds.folder_files import FolderFiles
from runtime.live.feeds.line_feed import SOCKETS, LineFeed, are_lines, opened_lines
from runtime.live.feeds.read_objects import ReadObjects
from runtime.live.feeds.text_records import JSON, LINES

BEGINNING, END, COMMITTED = "beginning", "end", "committed"
STARTS = (BEGINNING, END, COMMITTED)
"""Where a feed starts: with all that is there; behind what is there when it is watched for the first time; behind the
lines of a pipe that are committed, if its producer begins with its first line again."""

KAFKA, MQTT, KINESIS = ("kafka://",), ("mqtt://", "mqtts://"), ("kinesis://",)
"""How the addresses of topics and streams of messages begin."""

S3 = "s3://"
"""How the address of a prefix of a bucket begins."""


def message_format(source: str, format: str) -> str:
    """The format of a feed's records: messages are JSON unless another is given."""
    return "ndjson" if format == "auto" and source.startswith((*KAFKA, *MQTT, *KINESIS)) else format


def open_feed(
    source: str,
    catalogue: Catalogue,
    stream: str,
    *,
    name: str | None,
    start: str,
    settings: Settings,
    settled: float,
    connection: Mapping[str, str] | None = None,
) -> Feed:
    """The feed ``source``: ``-``, a named pipe, a socket, a folder, a pattern of files, a prefix of a bucket, a stream
    of Kinesis, or topics of a broker, to which ``connection`` has the settings."""
    if connection and not source.startswith((*KAFKA, *MQTT)):
        raise IngestError(f"only a feed of {', '.join((*KAFKA, *MQTT))} has settings of a connection, not {source}.")
    if source.startswith((*KAFKA, *MQTT, *KINESIS)):
        return _message_feed(source, catalogue, stream, name, start, settings, connection or {})
    if are_lines(source):
        if start == END:
            raise IngestError(f"a pipe or socket has no end to start from: --from is {BEGINNING} or {COMMITTED}.")
        called = STDIN if source == "-" else source if source.startswith(SOCKETS) else os.path.abspath(source)
        chain = SourceChain(catalogue, stream, name or called, name or called)
        fd = opened_lines(source)
        return LineFeed(fd, called, chain, settings, start == COMMITTED, is_own=source != "-")
    if start == COMMITTED:
        raise IngestError(f"files go on behind what is committed anyway: --from is {BEGINNING} or {END}.")
    place: FilePlace
    noted = None
    if source.startswith(S3):
        from runtime.live.feeds.bucket_files import open_bucket

        place = open_bucket(source)
        called = name or place.name
        noted = ReadObjects(catalogue, stream, called)
    else:
        place, called = FolderFiles(source), name or os.path.abspath(source)

    def is_ingested(digest: str) -> bool:
        return catalogue.is_ingested(stream, digest) is not None

    return FolderFeed(place, _chains(catalogue, stream, called), is_ingested, settings, settled, start == END, noted)


def _chains(catalogue: Catalogue, stream: str, called: str) -> Callable[[str], SourceChain]:
    """The chain of a part of the feed ``called``."""
    return lambda part: SourceChain(catalogue, stream, f"{called}\n{part}", called)


def _message_feed(
    source: str,
    catalogue: Catalogue,
    stream: str,
    name: str | None,
    start: str,
    settings: Settings,
    connection: Mapping[str, str],
) -> Feed:
    if start == COMMITTED:
        raise IngestError(f"a topic goes on behind what is committed anyway: --from is {BEGINNING} or {END}.")
    if settings.format not in (*JSON, *LINES):
        raise IngestError(
            f"messages of a topic are records of {', '.join((*JSON[1:], *LINES))}, not {settings.format}: watch a "
            "folder or a pipe instead."
        )

    def chain_of(called: str) -> Callable[[str], SourceChain]:
        # Each partition or shard has a clock of its own, and so has each subscription.
        known = name or called
        return lambda part: SourceChain(catalogue, stream, f"{known}\n{part}", f"{known} {part}")

    is_json, skips = settings.format in JSON, start == END
    if source.startswith(MQTT):
        from runtime.live.feeds.mqtt_feed import open_mqtt

        return open_mqtt(source, connection, chain_of, is_json=is_json, skips=skips)
    if source.startswith(KINESIS):
        from runtime.live.feeds.kinesis_feed import open_kinesis

        return open_kinesis(source, chain_of, is_json=is_json, skips=skips)
    from runtime.live.feeds.kafka_feed import open_kafka

    return open_kafka(source, connection, chain_of, is_json=is_json, skips=skips)
