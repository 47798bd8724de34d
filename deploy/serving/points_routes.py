"""Streams over HTTP: what there is, and points that are posted."""

from __future__ import annotations

import io
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from deploy.serving.problems import Problem
from operators.nearest import meant
from runtime.catalogue.items.entries import check_stream
from runtime.display.text_tables import iso
from runtime.errors import StoreError
from runtime.store import Store, StreamInfo

MOST_BYTES = 8 << 20
"""Bytes of a request's body."""

PATIENCE = 60.0
"""Seconds in which a body must come."""

_OPTIONS = ("key", "time", "unit", "format", "duplicates", "id", "missing_key", "preset")
"""Query parameters of a post: those of an ingest. A stream that is there knows its own."""


def routes(read_only: bool) -> list[Route]:
    """The routes below ``/api/v1``."""
    methods = ["GET"] if read_only else ["GET", "POST"]
    return [Route("/streams", _streams), Route("/streams/{name}", _stream, methods=methods)]


async def _streams(request: Request) -> JSONResponse:
    store: Store = request.app.state.store
    found = await run_in_threadpool(store.streams)
    return JSONResponse({"streams": [_described(info) for info in found]})


async def _stream(request: Request) -> JSONResponse:
    if request.method == "POST":
        return await _post(request)
    store: Store = request.app.state.store
    name = request.path_params["name"]
    for info in await run_in_threadpool(store.streams):
        if info.name == name:
            return JSONResponse(_described(info))
    raise Problem(404, f"there is no stream {name!r:.100}")


async def _post(request: Request) -> JSONResponse:
    given = dict(request.query_params)
    if len(given) < len(request.query_params.multi_items()):
        raise Problem(400, "a parameter is given twice")
    for name in given:
        if name not in _OPTIONS:
            known = f"{meant(name, _OPTIONS, 'known')} are {', '.join(_OPTIONS)}"
            raise Problem(400, f"there is no parameter {name!r:.100}; {known}")
    try:
        check_stream(request.path_params["name"])
    except StoreError as error:
        raise Problem(400, str(error)) from None
    if not (body := await _body(request)).strip():
        raise Problem(422, "the body is empty: send points as JSON, one a line or in an array")
    key = request.headers.get("idempotency-key")
    if key is not None and not key.strip('" '):
        raise Problem(400, "the Idempotency-Key is empty")
    report = await run_in_threadpool(_ingest, request, body, key, given)
    return JSONResponse(report, 422 if report["status"] == "failed" else 200)


async def _body(request: Request) -> bytes:
    encoding = request.headers.get("content-encoding", "identity").lower()
    if encoding not in ("identity", "gzip", "zstd"):
        raise Problem(415, f"Content-Encoding is gzip or zstd, or left out, not {encoding!r:.100}")
    parts, size = [], 0
    try:
        with anyio.fail_after(PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    raise Problem(413, f"a body has at most {MOST_BYTES:,} bytes: send the points in several requests")
                parts.append(part)
    except TimeoutError:
        raise Problem(408, f"the body did not come within {PATIENCE:.0f} seconds") from None
    except ClientDisconnect:
        raise Problem(400, "the body is not whole") from None
    return b"".join(parts)


def _ingest(request: Request, body: bytes, key: str | None, given: dict[str, str]) -> dict[str, Any]:
    store: Store = request.app.state.store
    file = io.BytesIO(body)
    file.name = f"http {request.client.host if request.client else ''}".strip()
    options: dict[str, Any] = dict(given)
    report = store.ingest(
        request.path_params["name"], file, progress=False, source=None if key is None else f"http {key}", **options
    )
    (source,) = report.sources
    return {
        "stream": report.stream, "status": source.status, "rows": source.committed, "rejected": source.rejected,
        "reasons": dict(source.reasons), "error": source.error,
    }  # fmt: skip


def _described(info: StreamInfo) -> dict[str, Any]:
    schema = info.schema
    return {
        "name": info.name, "key": schema.key, "time": schema.time,
        "columns": {name: str(kind) for name, kind in schema.columns.items()},
        "points": info.rows, "bytes": info.bytes, "files": info.files, "days": info.days,
        "first": None if info.first_time is None else iso(info.first_time),
        "last": None if info.last_time is None else iso(info.last_time),
        "rejected": info.rejected, "dropped": info.dropped, "sources": info.sources, "quarantined": info.quarantined,
    }  # fmt: skip
