"""A fake store that answers from a list of events, for tests of the code around it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, ClassVar

from dataflow.language.stream import Stream
from deploy.commands.store_views import column
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import FileEntry, StreamSchema
from runtime.result.result import Result

SCHEMA = StreamSchema(
    "device", Type.STRING, "ts", {"status": Type.STRING, "temp": Type.FLOAT}, duplicates="latest", unit="ms"
)
STREAM = SimpleNamespace(
    name="telemetry",
    schema=SCHEMA,
    rows=1_234_567,
    bytes=3_456_789,
    files=9,
    days=3,
    first_time=1_709_251_200_000_000,
    last_time=1_709_337_600_000_001,
    rejected=2,
    dropped=17,
)
FILE = FileEntry(
    path="data/telemetry/2024-03-01/0123456789abcdef0123456789abcdef-1.points",
    day=19_783,
    rows=5000,
    bytes=12_345,
    t_min=1_709_251_200_000_000,
    t_max=1_709_251_200_000_999,
    sha256="ab" * 32,
    keys=7,
    nulls={"temp": 3},
    seq=2,
)
ANSWER = {
    "firmware": column(Type.STRING, [None, "1.2.0", "=evil"]),
    "uptime": column(Type.FLOAT, [None, 0.5, 0.25]),
    "known": column(Type.DURATION, [0, 1_000_000, 2**60]),
}


class Report:
    """A verify report."""

    def __init__(self, ok: bool) -> None:
        self.ok = ok

    def __str__(self) -> str:
        return "fine" if self.ok else "broken"

    def to_dict(self) -> dict[str, object]:
        return {"ok": self.ok}


class FakeStore:
    """Records its calls; class attributes set what it answers or raises."""

    calls: ClassVar[list[tuple[str, tuple[Any, ...], dict[str, Any]]]] = []
    fails: ClassVar[BaseException | None] = None
    ok: ClassVar[bool] = True

    def __init__(self, url: str, create: bool = False) -> None:
        self._note("open", url, create=create)
        schemas = {STREAM.name: STREAM.schema}
        self.catalogue = SimpleNamespace(streams=lambda: list(schemas), schema=schemas.get)

    def _note(self, name: str, *args: Any, **options: Any) -> None:
        FakeStore.calls.append((name, args, options))
        if FakeStore.fails is not None:
            raise FakeStore.fails

    def ingest(self, stream: str, *inputs: str, **options: Any) -> str:
        self._note("ingest", stream, *inputs, **options)
        return "ingested"

    def query(self, metric: Stream, **options: Any) -> Result:
        self._note("query", metric, **options)
        return Result(ANSWER, SimpleNamespace(to_dict=lambda: {"snapshot": 1}))

    def explain(self, metric: Stream, **options: Any) -> str:
        self._note("explain", metric, **options)
        return "the plan"

    def streams(self) -> list[SimpleNamespace]:
        return [STREAM]

    def files(self, stream: str) -> Sequence[FileEntry]:
        if stream != STREAM.name:
            raise DataflowError(f"there is no stream '{stream}'")
        return [FILE]

    def verify(self, progress: object = None) -> Report:
        return Report(FakeStore.ok)
