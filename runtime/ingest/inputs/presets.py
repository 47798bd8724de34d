"""Presets: named sets of options for the files of well-known sources. A format's own defaults are those of the preset
with its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.inputs.reading import Reading

AUTO = "auto"
"""The format that is found by looking inside."""


@dataclass(frozen=True)
class Preset:
    """What a preset sets where no option is given: ``reading`` are options of ``Reading`` by name."""

    about: str
    format: str = AUTO
    key: str | None = None
    time: str | None = None
    unit: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def sets(self) -> dict[str, Any]:
        """The options by name."""
        given = {"format": self.format, "key": self.key, "time": self.time, "unit": self.unit, **self.reading}
        return {name: value for name, value in given.items() if value not in (None, AUTO)}

    def reading_under(self, given: Reading, key_given: bool) -> Reading:
        """The options that were given, and the preset's where none are; one that excludes another takes its place.
        ``key_given``: a key was, too."""
        mine = dict(self.reading)
        if key_given:
            mine.pop("key_value", None)
        if given.records is not None or given.columnar is not None:
            mine.pop("records", None)
            mine.pop("columnar", None)
        return given.or_of(Reading.of(mine))


PRESETS: dict[str, Preset] = {
    "azure-iot": Preset(
        "messages of Azure IoT Hub, routed to storage as JSON",
        "json", "SystemProperties.connectionDeviceId", "EnqueuedTimeUtc",
    ),
    "clf": Preset("logs of web servers, common or combined", "clf", "host", "time"),
    "cloudfront": Preset("standard logs of Amazon CloudFront", "w3c", "c-ip", "time"),
    "cloudtrail": Preset(
        "log files of AWS CloudTrail",
        "json", "userIdentity.arn|userIdentity.invokedBy|eventSource", "eventTime", None, {"records": "Records"},
    ),
    "cloudwatch-logs": Preset(
        "Amazon CloudWatch Logs, as subscriptions deliver them",
        "json", "logStream", "timestamp", "ms", {"records": "logEvents"},
    ),
    "combined": Preset(
        "logs of web servers with referer and agent, as Apache and nginx write them", "combined", "host", "time"
    ),
    "eventbridge": Preset("events of Amazon EventBridge", "json", "source", "time"),
    "gbfs": Preset(
        "stations of shared bicycles (GBFS station_status)",
        "json", "station_id", "last_reported", "s", {"records": "data.stations"},
    ),
    "geojson": Preset("features of GeoJSON; numeric times need --unit", "geojson", "id", "properties.time"),
    "github": Preset("events of GitHub's API and of GH Archive", "json", "repo.name", "created_at"),
    "home-assistant": Preset(
        "history of states from Home Assistant's REST API", "home-assistant", "entity_id", "last_changed"
    ),
    "influx-csv": Preset("annotated CSV, as InfluxDB's query API answers", "influx-csv", "series", "_time"),
    "journald": Preset("journalctl -o json", "json", "_HOSTNAME", "__REALTIME_TIMESTAMP", "us"),
    "kubernetes": Preset(
        "kubectl get events -o json, and lists of other objects",
        "kubernetes", "involvedObject.name|regarding.name|metadata.name", "time",
    ),
    "line-protocol": Preset("InfluxDB's line protocol", "line-protocol", "series", "time", "ns"),
    "logfmt": Preset("lines of key=value pairs", "logfmt", None, "time"),
    "mixpanel": Preset("raw events of Mixpanel's export", "json", "properties.distinct_id", "properties.time", "s"),
    "open-meteo": Preset(
        "weather from Open-Meteo by the hour; for days --columnar daily", "open-meteo", "latitude,longitude", "time"
    ),
    "otlp": Preset(
        "OpenTelemetry's metrics, logs and traces as JSON",
        "otlp", "resource.service.name|resource.host.name", "time", "ns",
    ),
    "prometheus": Preset("answers of Prometheus' query and query_range", "prometheus", "series", "time", "s"),
    "segment": Preset("events of Segment", "json", "userId|anonymousId", "timestamp"),
    "sns": Preset(
        "notifications of Amazon SNS whose message is JSON",
        "json", "TopicArn", "Timestamp", None, {"json": ("Message",)},
    ),
    "thingsboard": Preset(
        "telemetry of one device from ThingsBoard's REST API; the device is the file's name",
        "thingsboard", "device", "ts", "ms", {"key_value": "{stem}"},
    ),
    "vpc-flow": Preset(
        "flow logs of Amazon VPC, with their header line",
        "csv", "interface-id", "start", "s", {"delimiter": " ", "null": ("-",)},
    ),
    "w3c": Preset("W3C extended logs, as IIS writes them", "w3c", "c-ip", "time"),
}  # fmt: skip

_NONE = Preset("")


def preset_of(name: str | None, format: str) -> Preset:
    """The preset of that name; without a name, the one of the format. IngestError if there is none of that name."""
    if name is None:
        return PRESETS.get(format, _NONE)
    if name not in PRESETS:
        raise IngestError(
            f"preset {name!r:.60} is unknown: {meant(str(name), PRESETS, 'choose')} one of {', '.join(PRESETS)} "
            "(--preset)."
        )
    return PRESETS[name]
