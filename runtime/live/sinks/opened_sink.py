"""From what a user names to the sink that it is."""

from __future__ import annotations

from collections.abc import Mapping

from operators.nearest import meant
from runtime.errors import QueryError
from runtime.live.sinks.file_sink import FileSink, OutputSink
from runtime.live.sinks.sink import EventSink


def open_sink(address: str, settings: Mapping[str, str]) -> EventSink:
    """``-`` (standard output), a file, ``http://`` or ``https://``, ``kafka://BROKER/TOPIC``, or ``sns://TOPIC``;
    ``settings`` are those of the connection."""
    scheme, separator, _ = address.partition("://")
    if separator and scheme in ("http", "https"):
        from runtime.live.sinks.webhook_sink import SETTINGS, WebhookSink

        for name in settings:
            if name not in SETTINGS:
                known = f"{meant(name, SETTINGS, 'known')} are {', '.join(SETTINGS)}"
                raise QueryError(f"there is no setting {name} of a webhook; {known}")
        return WebhookSink(address, settings)
    if separator and scheme == "kafka":
        from runtime.live.sinks.kafka_sink import open_kafka_sink

        return open_kafka_sink(address, settings)
    if separator and scheme == "sns":
        from runtime.live.sinks.sns_sink import open_sns_sink

        return open_sns_sink(address, settings)
    if separator:
        known = "http(s)://..., kafka://BROKER/TOPIC or sns://TOPIC"
        raise QueryError(f"{address}: a sink is a file, - for standard output, {known}")
    if settings:
        raise QueryError(f"only https://, kafka:// and sns:// have settings of a connection, not {address}")
    return OutputSink() if address == "-" else FileSink(address)
