"""A minimal S3 client for workers: importing boto3 takes longer than most tasks.

It behaves like boto3's client for the GET, HEAD and PUT requests of ``S3Objects``; all other requests go to a boto3
client. The signature is AWS's version 4 ("Signature Version 4 signing process", AWS General Reference; "Signature
Calculations for the Authorization Header", Amazon S3 API Reference), over the SHA-256 of the whole body.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import os
import re
import ssl
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from runtime.aws.access import CONNECT_SECONDS, Access, RequestFailed, unreachable
from runtime.aws.retry import Fault, classify

_EMPTY = hashlib.sha256(b"").hexdigest()
_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx|cn)-(gov-)?[a-z]+-\d+")
_GIVEN = ("AWS_LAMBDA_FUNCTION_NAME", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy")
_OTHER_ENDPOINTS = ("AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT")
_TOLD = re.compile(rb"<(Code|Message)>([^<]*)</")
_SUM = "x-amz-checksum-sha256"
_HEAD = {"Bucket", "Key", "ChecksumMode"}
_GET = {*_HEAD, "Range"}
_PUT = {"Bucket", "Key", "Body", "IfNoneMatch", "ChecksumSHA256"}


def serves(access: Access) -> bool:
    """Whether this process is a Lambda function, with identity and region in its environment.

    boto3 serves clients with a proxy or custom endpoints, or in partitions with their own endpoints.
    """
    given = all(os.environ.get(name) for name in _GIVEN) and not any(os.environ.get(name) for name in _PROXIES)
    given = given and not any(os.environ.get(name, "").lower() == "true" for name in _OTHER_ENDPOINTS)
    return given and access.profile is None and _REGION.fullmatch(_region(access)) is not None


def _region(access: Access) -> str:
    return access.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


class SignedS3:
    """A thread-safe S3 client. ``boto`` creates the boto3 client for all other operations."""

    def __init__(self, access: Access, endpoint: str | None, read_seconds: float, boto: Callable[[], Any]) -> None:
        self._region = _region(access)
        self._endpoint = endpoint
        self._read_seconds = read_seconds
        self._boto = boto
        self._idle: deque[HTTPConnection] = deque()
        weakref.finalize(self, _close, self._idle)
        self._suffix = "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rest, name)

    @cached_property
    def _rest(self) -> Any:
        return self._boto()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=os.environ.get("AWS_CA_BUNDLE"))

    def get_object(self, **asked: Any) -> Any:
        """A range of an object, compared with its SHA-256 if S3 sends one."""
        if asked.keys() != _GET:
            return self._rest.get_object(**asked)
        headers = {"range": asked["Range"], "x-amz-checksum-mode": asked["ChecksumMode"]}
        received, body = self._send("GET", asked["Bucket"], asked["Key"], headers)
        digest = received.get(_SUM)
        if digest is not None and digest != base64.b64encode(hashlib.sha256(body).digest()).decode():
            raise RequestFailed(Fault.LOST, "the SHA-256 of the received bytes differs from the one that S3 sent")
        return {"Body": io.BytesIO(body), "ContentRange": received.get("content-range", "")}

    def head_object(self, **asked: Any) -> Any:
        """An object's size and SHA-256."""
        if asked.keys() != _HEAD:
            return self._rest.head_object(**asked)
        received, _ = self._send("HEAD", asked["Bucket"], asked["Key"], {"x-amz-checksum-mode": asked["ChecksumMode"]})
        return {"ContentLength": int(received.get("content-length", -1)), "ChecksumSHA256": received.get(_SUM)}

    def put_object(self, **asked: Any) -> Any:
        """Create an object; fails if the name is taken."""
        if asked.keys() != _PUT:
            return self._rest.put_object(**asked)
        body, digest = asked["Body"], asked["ChecksumSHA256"]
        headers = {"if-none-match": asked["IfNoneMatch"], _SUM: digest, "content-length": str(len(body))}
        received, _ = self._send("PUT", asked["Bucket"], asked["Key"], headers, body, base64.b64decode(digest).hex())
        return {"ChecksumSHA256": received[_SUM]} if _SUM in received else {}

    def close(self) -> None:
        """Close the connections."""
        _close(self._idle)
        if "_rest" in self.__dict__:
            self._rest.close()

    def _send(
        self, method: str, bucket: str, key: str, headers: Mapping[str, str], body: bytes = b"", digest: str = _EMPTY
    ) -> tuple[dict[str, str], bytes]:
        """The headers and the body of a successful reply; else RequestFailed."""
        if self._endpoint is not None:
            url, path = urlsplit(self._endpoint), f"/{bucket}/{key}"
        elif "." in bucket:  # no certificate covers such a host name
            url, path = urlsplit(f"https://s3.{self._region}.{self._suffix}"), f"/{bucket}/{key}"
        else:
            url, path = urlsplit(f"https://{bucket}.s3.{self._region}.{self._suffix}"), f"/{key}"
        path = url.path.rstrip("/") + quote(path, safe="/-_.~")
        signed = signed_headers(method, url.netloc, path, {**headers, "x-amz-content-sha256": digest}, self._region)
        while True:
            connection, used = self._connection(url.scheme, url.netloc)
            try:
                response, data = _exchange(connection, method, path, body, signed)
            except (OSError, HTTPException) as error:
                connection.close()
                # The server may have closed an idle connection. A slow server has not.
                if used and not isinstance(error, TimeoutError):
                    continue
                raise RequestFailed(
                    Fault.LOST, f"{url.netloc} did not answer ({error or type(error).__name__})"
                ) from error
            break
        if response.will_close:
            connection.close()
        else:
            self._idle.append(connection)
        received = {name.lower(): value for name, value in response.getheaders()}
        if response.status < 300:
            return received, data
        error_told = {name.decode(): text.decode(errors="replace") for name, text in _TOLD.findall(data)}
        code = error_told.get("Code", "" if method == "HEAD" else str(response.status))
        raise RequestFailed(
            classify(response.status, code), error_told.get("Message", response.reason), code, response.status
        )

    def _connection(self, scheme: str, netloc: str) -> tuple[HTTPConnection, bool]:
        """A connection, and whether it was used before."""
        with suppress(IndexError):
            return self._idle.pop(), True
        if scheme == "https":
            made: HTTPConnection = HTTPSConnection(netloc, timeout=CONNECT_SECONDS, context=self._tls)
        else:
            made = HTTPConnection(netloc, timeout=CONNECT_SECONDS)
        try:
            made.connect()
        except ssl.SSLError as error:
            raise RequestFailed(Fault.FINAL, f"{netloc} cannot be trusted ({error})") from error
        except OSError as error:
            raise RequestFailed(Fault.UNSENT, unreachable(netloc)) from error
        made.sock.settimeout(self._read_seconds)
        return made, False


def _close(connections: deque[HTTPConnection]) -> None:
    while connections:
        with suppress(IndexError):
            connections.pop().close()


def _exchange(
    connection: HTTPConnection, method: str, path: str, body: bytes, headers: Mapping[str, str]
) -> tuple[HTTPResponse, bytes]:
    # A server that refuses a body may reply and close before all of it has been sent.
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.request(method, path, body or None, dict(headers))
    response = connection.getresponse()
    return response, response.read()


def signed_headers(
    method: str, host: str, path: str, headers: Mapping[str, str], region: str, now: float | None = None
) -> dict[str, str]:
    """``headers`` plus the headers that sign them with the method and the path (quoted, without a query)."""
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    signed = {**headers, "host": host, "x-amz-date": moment}
    token = os.environ.get("AWS_SESSION_TOKEN")
    if token:
        signed["x-amz-security-token"] = token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    request = f"{method}\n{path}\n\n{lines}\n{names}\n{signed['x-amz-content-sha256']}"
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    credential = f"{os.environ['AWS_ACCESS_KEY_ID']}/{scope}"
    authorization = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return {**signed, "authorization": authorization}
