"""``POST`` to a URL, signed after the Standard Webhooks specification (standardwebhooks.com, 1.0)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import http.client
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import IO, Any
from urllib.parse import urlsplit

from runtime.errors import QueryError
from runtime.live.sinks.sink import Delivery, SinkUnavailable, as_json

SETTINGS = ("secret", "authorization")
"""The settings of its connection: the secret that bodies are signed with, ``whsec_`` and base64; and the value of the
header of that name."""

_EVENTS, _BYTES = 500, 256 << 10
"""The most of one request."""

_PATIENCE, _LONGEST = 10.0, 3600
"""Seconds to wait for an answer, and the most until the next try that an answer may ask for."""

_LATER = (408, 425, 429)
"""Answers of clients' mistakes that pass."""


def _checked(url: str) -> str:
    """The URL; QueryError for one that names nothing."""
    try:
        parts = urlsplit(url)
        is_right = bool(parts.hostname) and (parts.port or 1) > 0 and "@" not in parts.netloc
    except ValueError:
        is_right = False
    if not is_right or not url.isascii() or any(c.isspace() for c in url):
        raise QueryError(
            f"{url!r:.200} is no URL such as https://example.org/hook; what proves who asks is in the settings of the "
            "connection (authorization=...)"
        )
    return url


Post = Callable[[urllib.request.Request, float], tuple[int, str | None]]
"""What a request is answered with: the status, and the header Retry-After."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is redirected would become a GET."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> None:
        return None


def _post(request: urllib.request.Request, seconds: float) -> tuple[int, str | None]:
    try:
        with urllib.request.build_opener(_NoRedirect).open(request, timeout=seconds) as answer:
            return int(answer.status), None
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code), error.headers.get("retry-after")


def _seconds(retry_after: str | None, now: float) -> float:
    """How long to wait by a header Retry-After (RFC 9110, 10.2.3): seconds, or a date; at most an hour, 0 for none."""
    if retry_after is None:
        return 0.0
    try:
        wanted = (
            int(retry_after) if retry_after.strip().isdigit() else parsedate_to_datetime(retry_after).timestamp() - now
        )
    except (ValueError, OverflowError):
        return 0.0
    return float(min(max(wanted, 0), _LONGEST))


class WebhookSink:
    """A URL that takes ``{"id": ..., "events": [...]}``: at least once, under an id that is the same each time."""

    def __init__(
        self, url: str, settings: Mapping[str, str], post: Post = _post, clock: Callable[[], float] = time.time
    ) -> None:
        self._url, self._post, self._clock = _checked(url), post, clock
        self._authorization = settings.get("authorization")
        if not (self._authorization or "").isascii() or not settings.get("secret", "").isascii():
            raise QueryError("the settings of a webhook are ASCII")
        self._key: bytes | None = None
        if (secret := settings.get("secret")) is not None:
            try:
                self._key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
            except binascii.Error:
                self._key = b""
            if not self._key:
                raise QueryError("the secret of a webhook is whsec_ and a key in base64")

    def position(self) -> Any:
        """See ``EventSink``."""
        return None

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        for name, events in delivery.parts(_EVENTS, _BYTES):
            body = as_json({"id": name, "events": events})
            try:
                status, after = self._post(self._request(name, body), _PATIENCE)
            except ValueError as error:  # a name that can be none of a machine
                raise QueryError(f"{self._url}: {error}") from None
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                said = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
                raise SinkUnavailable(f"{self._url} does not answer: {said}") from None
            if status >= 500 or status in _LATER:
                away = SinkUnavailable(f"{self._url} answers with {status}")
                away.seconds = _seconds(after, self._clock())
                raise away
            if not 200 <= status < 300:
                raise QueryError(f"{self._url} answers with {status}: nothing is lost; it goes on with this delivery")

    def close(self) -> None:
        """See ``EventSink``."""

    def _request(self, name: str, body: bytes) -> urllib.request.Request:
        at = str(int(self._clock()))
        headers = {"content-type": "application/json", "webhook-id": name, "webhook-timestamp": at}
        if self._key is not None:
            signed = hmac.new(self._key, f"{name}.{at}.".encode() + body, hashlib.sha256).digest()
            headers["webhook-signature"] = f"v1,{base64.b64encode(signed).decode()}"
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        return urllib.request.Request(self._url, body, headers, method="POST")
