"""Errors as problem details (RFC 9457): the status, what is wrong, and what to do."""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from operators.errors import DataflowError
from runtime.errors import IngestError, NoStore, SchemaConflict, StoreError


class Problem(DataflowError):
    """A request that is refused with this status."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def status_of(error: Exception) -> int:
    """4xx where the caller can mend it."""
    if isinstance(error, Problem):
        return error.status
    if isinstance(error, SchemaConflict):
        return 409
    if isinstance(error, IngestError):
        return 422
    if isinstance(error, StoreError):
        return 404 if isinstance(error, NoStore) else 503
    return 400 if isinstance(error, DataflowError) else 500


def response(status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The problem as a response."""
    body = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return Response(
        json.dumps(body, ensure_ascii=False), status, headers, media_type="application/problem+json; charset=utf-8"
    )


async def problem(request: Request, error: Exception) -> Response:
    """The response to an error; of one that is not ours nothing is shown."""
    if isinstance(error, HTTPException):  # no such path, or no such method
        return response(error.status_code, error.detail, dict(error.headers or {}))
    status = status_of(error)
    detail = str(error) if isinstance(error, DataflowError) else "an error of this program: see its log"
    return response(status, detail)
