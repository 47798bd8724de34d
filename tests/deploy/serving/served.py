"""A store that is served on loopback, and a caller of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from deploy.serving.application import application
from deploy.serving.connections import PatientConnection
from runtime import Store


class Caller:
    """Sends requests to a port of this machine."""

    def __init__(self, port: int) -> None:
        self.port = port

    def __call__(
        self, method: str, path: str, body: str | bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """The status, the headers and the body of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, method: str, path: str, body: str | bytes | None = None, **headers: str) -> tuple[int, Any]:
        """The status and the body as JSON."""
        status, _, text = self(method, path, body, **headers)
        return status, json.loads(text)


class _Quick:
    """The module asyncio for uvicorn, which looks every tenth of a second whether it is to end: ten times as often."""

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    @staticmethod
    async def sleep(seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


@contextmanager
def served(store: Store, at_once: int | None = None, **options: Any) -> Iterator[Caller]:
    """The store, served as long as the block lasts, to so many connections at once."""
    config = uvicorn.Config(
        application(store, **options),
        log_level="critical",
        lifespan="off",
        http=PatientConnection,
        limit_concurrency=at_once,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    with socket.create_server(("127.0.0.1", 0)) as listening, pytest.MonkeyPatch.context() as patch:
        patch.setattr("uvicorn.server.asyncio", _Quick())
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        try:
            yield Caller(listening.getsockname()[1])
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
