"""``dataflow serve``: a store over HTTP."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.commands.shared import Command, UsageError, store_argument
from operators.errors import DataflowError

if TYPE_CHECKING:
    import uvicorn

_IN_FLIGHT = 128
"""Requests at once; more are answered with 503."""


def _arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument(
        "--host", metavar="ADDRESS", default="127.0.0.1", help="the address to listen at (default 127.0.0.1)"
    )
    parser.add_argument(
        "--port", metavar="N", type=int, default=8420, help="the port (default 8420; 0: any that is free)"
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="a file with the token that requests must carry",
    )
    parser.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="another name of this server; repeatable"
    )
    parser.add_argument(
        "--allow-origin", metavar="URL", action="append", default=[],
        help="a site whose pages may call this server, such as https://dash.example; repeatable",
    )  # fmt: skip
    parser.add_argument("--read-only", action="store_true", help="take no points")


def _serve(options: argparse.Namespace) -> int:
    try:
        import uvicorn

        from deploy.serving.application import application
        from deploy.serving.connections import PatientConnection
        from deploy.serving.guard import LOOPBACK
    except ImportError:
        raise DataflowError("serve needs Starlette and uvicorn: pip install 'antfold[serve]'") from None
    from runtime import Store

    token = None if options.token_file is None else _token(options.token_file)
    if token is None and options.host not in LOOPBACK:
        raise UsageError(f"anyone who can reach {options.host} could read and write the store: give --token-file")
    store = Store(options.store, create=not options.read_only)
    store.streams()  # an error now, rather than with the first request
    closing = threading.Event()
    app = application(
        store, {*LOOPBACK, options.host, *options.allow_host}, options.allow_origin, token, options.read_only, closing
    )
    config = uvicorn.Config(
        app, log_level="warning", limit_concurrency=_IN_FLIGHT, server_header=False, timeout_graceful_shutdown=10,
        http=PatientConnection,
    )  # fmt: skip
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    with _listening(options.host, options.port) as listening, _stopping(server, closing):
        host, port = listening.getsockname()[:2]
        print(f"listening at http://{f'[{host}]' if ':' in host else host}:{port}", file=sys.stderr, flush=True)
        server.run([listening])
    return 0


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; DataflowError if there can be none."""
    if not 0 <= port < 1 << 16:
        raise UsageError(f"--port is from 0 to 65,535, got {port:,}")
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address[:2], family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        said = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise DataflowError(f"{host}:{port} cannot be listened at: {said}") from None


@contextlib.contextmanager
def _stopping(server: uvicorn.Server, closing: threading.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C end the server once its requests are answered; a second one, at once."""

    def handle(number: int, frame: object) -> None:
        server.force_exit = server.should_exit
        server.should_exit = True
        closing.set()

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, former in before.items():
            signal.signal(number, former)


def _token(path: str) -> str:
    """The token in a file; DataflowError if there is none."""
    try:
        token = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not text"
        raise DataflowError(f"--token-file {path} cannot be read: {said}") from None
    if len(token) < 16 or not token.isascii() or any(c.isspace() for c in token):
        raise DataflowError(f"--token-file {path}: a token has at least 16 characters of ASCII, and no blanks")
    return token


COMMANDS: dict[str, Command] = {
    "serve": Command(
        "answer published queries and take points over HTTP",
        "dataflow serve ./store --port 8420",
        _arguments,
        _serve,
    )
}
