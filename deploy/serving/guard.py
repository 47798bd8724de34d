"""Who may ask: the names by which this server is called, the pages that may call it, and a token.

A page of another site can make a browser send requests to a server on its user's machine, and by changing what a name
resolves to, read the answers. So ``Host`` must be a name of this server, and ``Origin``, where there is one, too.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deploy.serving.problems import response

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Guard:
    """Lets requests through to ``app`` that name one of ``hosts``, come from no other page than theirs or one of
    ``origins``, and carry the ``token``, if there is one. ``/healthz`` needs no token."""

    app: ASGIApp
    hosts: Collection[str] = LOOPBACK
    origins: Collection[str] = ()
    token: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        allowed = origin if origin in self.origins else None
        refused = self._refused_page(headers)
        if refused is None and allowed is not None and scope["method"] == "OPTIONS":
            await Response(status_code=204, headers={**_shared(allowed), **_PREFLIGHT})(scope, receive, send)
            return
        if refused is None:
            refused = self._refused_token(headers, scope["path"])
        if allowed is not None:
            send = _sharing(send, allowed)
        if refused is None:
            await self.app(scope, receive, send)
            return
        status, why = refused
        await response(status, why, {"www-authenticate": "Bearer"} if status == 401 else None)(scope, receive, send)

    def _refused_page(self, headers: Headers) -> tuple[int, str] | None:
        host, origin = headers.get("host", ""), headers.get("origin")
        if _name(f"//{host}") not in self.hosts:
            return 421, f"this server is not called {host!r:.200}: start it with --allow-host for another name"
        if origin is None and headers.get("sec-fetch-site") == "cross-site":
            return 403, "pages of other sites may not call this server: start it with --allow-origin"
        if origin is not None and origin not in self.origins and origin.partition("://")[2] != host:
            return 403, f"pages of {origin!r:.200} may not call this server: start it with --allow-origin"
        return None

    def _refused_token(self, headers: Headers, path: str) -> tuple[int, str] | None:
        if self.token is not None and path != "/healthz":
            kind, _, given = headers.get("authorization", "").partition(" ")
            if kind.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self.token.encode()):
                return 401, "the token is missing or wrong: send it as 'Authorization: Bearer TOKEN'"
        return None


_PREFLIGHT = {
    "access-control-allow-methods": "GET, POST",
    "access-control-allow-headers": "authorization, content-type, content-encoding, idempotency-key, if-none-match",
    "access-control-max-age": "600",
}


def _shared(origin: str) -> dict[str, str]:
    """Headers by which a browser lets a page of ``origin`` read an answer (Fetch standard, 3.2)."""
    return {"access-control-allow-origin": origin, "access-control-expose-headers": "etag", "vary": "origin"}


def _sharing(send: Send, origin: str) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            shared = [(name.encode(), value.encode()) for name, value in _shared(origin).items()]
            message = {**message, "headers": [*message["headers"], *shared]}
        await send(message)

    return sent


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
