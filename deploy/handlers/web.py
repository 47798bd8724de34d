"""Requests of a function URL (payload format 2.0) to queries, and results to responses."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

from deploy.values import parameter_value
from operators.errors import DataflowError
from runtime.errors import FormatError, IncompleteResult, OtherRelease, OtherVersion, QueryError, StoreError

MAX_REQUEST = 256 << 10
"""Bytes of a request's body."""

_TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8"}
_PARAM = "param."


class RequestTooLarge(QueryError):
    """A body of more than ``MAX_REQUEST`` bytes."""


class WrongMethod(QueryError):
    """A request that is neither GET nor POST."""


def asked(event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The fields of a request; None for ``GET /``, which lists the published queries.

    ``GET /NAME?version=&since=&until=&format=&param.x=`` or ``POST /`` (or ``/NAME``) with a JSON body.
    """
    method = str(event["requestContext"]["http"]["method"])
    name = unquote(str(event.get("rawPath", "/"))).strip("/")
    if method == "POST":
        fields = _body(event)
        if not isinstance(fields, dict):
            raise QueryError('the body must be a JSON object, for example {"query": "uptime"}.')
        if name and fields.setdefault("query", name) != name:
            raise QueryError(f"the path names {name!r:.100}, the body {fields['query']!r:.100}: name one query.")
        return fields
    if method != "GET":
        raise WrongMethod(f"{method[:20]} is not supported: use GET or POST.")
    given = parse_qsl(str(event.get("rawQueryString", "")), keep_blank_values=True)
    if not name and not given:
        return None
    if len(dict(given)) < len(given):
        raise QueryError("a parameter is given twice.")
    fields = {"query": name, "params": {}}
    for key, value in given:
        if key.startswith(_PARAM):
            fields["params"][key.removeprefix(_PARAM)] = parameter_value(value)
        elif key == "version":
            fields["version"] = parameter_value(value)
        elif value:
            fields[key] = value
    return fields


def _body(event: Mapping[str, Any]) -> Any:
    text = event.get("body") or ""
    if len(text) > 2 * MAX_REQUEST:
        raise RequestTooLarge(f"the body has more than {MAX_REQUEST} bytes: a query is a name and parameters.")
    try:
        data = base64.b64decode(text, validate=True) if event.get("isBase64Encoded") else text.encode()
        if len(data) > MAX_REQUEST:
            raise RequestTooLarge(f"the body has {len(data)} bytes, more than {MAX_REQUEST}.")
        return json.loads(data)
    except (ValueError, RecursionError, binascii.Error) as error:
        raise QueryError(f"the body is not JSON ({error}).") from None


def status_of(error: Exception, unknown: bool) -> int:
    """The HTTP status of an error: 4xx if the caller can fix it."""
    if unknown:
        return 404
    if isinstance(error, RequestTooLarge):
        return 413
    if isinstance(error, WrongMethod):
        return 405
    from runtime.fleet import QueryTimeout, TaskFailed

    if isinstance(error, QueryTimeout):
        return 504
    ours = isinstance(error, (StoreError, FormatError, IncompleteResult, TaskFailed, OtherRelease, OtherVersion))
    return 400 if isinstance(error, DataflowError) and not ours else 500


def response(status: int, body: str, form: str = "json") -> dict[str, Any]:
    """A response of the function's URL."""
    headers = {"content-type": _TYPES[form], "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": body}
