"""Fault injection at a boto3 client: replies in place of AWS's, and lost replies."""

from __future__ import annotations

import io
from collections import Counter, defaultdict, deque
from collections.abc import Iterator
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.exceptions import ConnectionClosedError

from runtime.aws.client import Client

REFUSED = "x-refused"
"""A header of requests that do not arrive."""


class Raw(io.BytesIO):
    """A body as urllib3 would give it."""

    def stream(self, **_: object) -> Iterator[bytes]:
        while piece := self.read():
            yield piece


def s3_error(status: int, code: str) -> AWSResponse:
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
    return AWSResponse("https://fake", status, {"content-type": "application/xml"}, Raw(body))


def db_error(status: int, code: str, more: bytes = b"") -> AWSResponse:
    body = b'{"__type":"com.amazonaws.dynamodb.v20120810#%s","Message":"injected"%s}' % (code.encode(), more)
    return AWSResponse("https://fake", status, {"content-type": "application/x-amz-json-1.0"}, Raw(body))


def cancelled(*codes: str) -> AWSResponse:
    reasons = ",".join(f'{{"Code":"{code}"}}' for code in codes)
    return db_error(400, "TransactionCanceledException", f',"CancellationReasons":[{reasons}]'.encode())


class Faults:
    """What happens to the next requests of ``client``; pauses are noted in ``waits``, not waited.

    ``refuse(operation, *replies)``: the next requests get these replies (or errors) and never arrive.
    ``lose(operation, times)``: the next requests arrive, and their replies are lost.
    ``sent`` counts the requests that arrived; ``requests`` keeps them, with their parameters.
    """

    def __init__(self, client: Client) -> None:
        self.waits: list[float] = []
        self.sent: Counter[str] = Counter()
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._refusals: defaultdict[str, deque[AWSResponse | Exception]] = defaultdict(deque)
        self._losses: Counter[str] = Counter()
        client.sleep = self.waits.append
        events = client.boto.meta.events
        events.register_first(f"before-send.{client.service}", self._before)
        events.register_first(f"response-received.{client.service}", self._after)
        events.register_first(f"provide-client-params.{client.service}", self._note)

    def refuse(self, operation: str, *replies: AWSResponse | Exception) -> None:
        self._refusals[operation] += replies

    def lose(self, operation: str, times: int = 1) -> None:
        self._losses[operation] += times

    def _note(self, params: dict[str, Any], model: Any, **_: object) -> None:
        self.requests.append((model.name, dict(params)))

    def _before(self, event_name: str, request: Any, **_: object) -> AWSResponse | None:
        operation = event_name.rsplit(".", 1)[1]
        if self._refusals[operation]:
            reply = self._refusals[operation].popleft()
            if isinstance(reply, Exception):
                raise reply
            request.headers[REFUSED] = "yes"
            return reply
        self.sent[operation] += 1
        return None

    def _after(self, event_name: str, response_dict: dict[str, Any] | None, **_: object) -> None:
        operation = event_name.rsplit(".", 1)[1]
        if response_dict is not None and response_dict["status_code"] < 300 and self._losses[operation]:
            self._losses[operation] -= 1
            raise ConnectionClosedError(endpoint_url="https://fake")
