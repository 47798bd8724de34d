"""The application: routes below ``/api/v1``, behind the guard."""

from __future__ import annotations

import threading
from collections.abc import Collection

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from deploy.serving import points_routes, query_routes
from deploy.serving.guard import LOOPBACK, Guard
from deploy.serving.problems import problem
from operators.errors import DataflowError
from runtime.store import Store


def application(
    store: Store,
    hosts: Collection[str] = LOOPBACK,
    origins: Collection[str] = (),
    token: str | None = None,
    read_only: bool = False,
    closing: threading.Event | None = None,
) -> ASGIApp:
    """The application of a store; see ``Guard``. With ``read_only``, no points are taken; connections that wait for
    changes end once ``closing`` is set."""
    api = [*points_routes.routes(read_only), *query_routes.routes()]
    handlers = {DataflowError: problem, HTTPException: problem, Exception: problem}
    app = Starlette(
        routes=[Route("/healthz", _healthy), Mount("/api/v1", routes=api)],
        exception_handlers=handlers,
    )
    app.state.store, app.state.closing = store, closing or threading.Event()
    return Guard(app, {host.lower() for host in hosts}, {origin.rstrip("/") for origin in origins}, token)


async def _healthy(request: Request) -> PlainTextResponse:
    return PlainTextResponse("ok")
