"""Clients of AWS services: retries follow ``retry.py``, and every error is one sentence."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

from operators import forking
from runtime.aws.access import CONNECT_SECONDS, CONNECTIONS, READ_SECONDS, Access, RequestFailed, silent, unreachable
from runtime.aws.retry import AttemptHistory, Budget, Fault, classify, pause, worth_a_notice
from runtime.errors import StoreError
from runtime.helpers import pause as pause_for

T = TypeVar("T")


class Client:
    """A boto3 client of one service; thread-safe. A forked process creates its own.

    In a Lambda function, the S3 client avoids boto3 where possible.

    ``prepare`` is called with every boto3 client that is made.
    """

    def __init__(
        self,
        service: str,
        access: Access,
        budget: Budget | None = None,
        prepare: Callable[[Any], None] | None = None,
        read_seconds: float = READ_SECONDS,
        connections: int = CONNECTIONS,
    ) -> None:
        self.service = service
        self.access = access
        self.budget = budget or Budget()
        self.sleep: Callable[[float], None] = pause_for
        self._prepare = prepare
        self._read_seconds = read_seconds
        self._connections = connections
        self._lock = forking.lock()
        self._client: Any = None
        forking.renew(self, Client._renew)

    @property
    def boto(self) -> Any:
        """The boto3 client."""
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    client = _make(self.service, self.access, self._read_seconds, self._connections)
                    if self._prepare is not None:
                        self._prepare(client)
                    self._client = client
        return client

    def _renew(self) -> None:
        """In a forked process: connections cannot be shared."""
        self._client = None

    def call(self, what: str, attempt: Callable[[Any], T]) -> T:
        """Call ``attempt(boto client)``, retry while the budget lasts, and return its result.

        ``what`` is a phrase for errors: "read 'a/b'". Raises ``ServiceFault``, which names the kind.
        """
        client = self.boto
        begun, history, unknown = time.monotonic(), AttemptHistory(), False
        while True:
            try:
                return attempt(client)
            except ServiceFault as error:
                failure = error
            except Exception as error:
                known = fault_of(error)
                if known is None:
                    raise
                failure = ServiceFault(known, explained(error, what, self.service), code_of(error), error)
            unknown = unknown or failure.fault is Fault.LOST
            elapsed = time.monotonic() - begun
            wait = pause(self.budget, history, failure.fault, elapsed, random.random())
            if wait is None:
                if failure.fault is Fault.UNSENT and elapsed >= 1:
                    failure.args = (f"{failure}"[:-1] + f" (tried again for {elapsed:.0f} s).",)
                failure.unknown = unknown
                raise failure from failure.__cause__
            history = history.after(failure.fault)
            self._tell_that_it_waits(failure, elapsed)
            self.sleep(wait)

    def _tell_that_it_waits(self, failure: ServiceFault, elapsed: float) -> None:
        now = time.monotonic()
        last = _noticed.get(self.service)
        if worth_a_notice(failure.fault, elapsed, None if last is None else now - last):
            _noticed[self.service] = now
            left = max(0.0, self.budget.seconds - elapsed)
            from runtime.progress import notice  # a worker, which shows no progress, starts without it

            notice(f"waiting: {failure} Trying again for {left:.0f} s; Ctrl-C ends it.")

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        with self._lock:
            if self._client is not None:
                self._client.close()
            self._client = None


_noticed: dict[str, float] = {}
"""When a person was last told that a service cannot be reached."""


class ServiceFault(StoreError):
    """A request that failed for good: the kind of its last fault, the service's error code, the underlying error.

    ``unknown``: an attempt was lost, so the request may have happened, whatever the later attempts returned.
    """

    unknown = False

    def __init__(self, fault: Fault, message: str, code: str = "", cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.fault = fault
        self.code = code
        self.__cause__ = cause


def _make(service: str, access: Access, read_seconds: float, connections: int) -> Any:
    endpoint = access.endpoint or os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}")
    endpoint = endpoint or os.environ.get("AWS_ENDPOINT_URL")

    def boto() -> Any:
        return _boto(service, access, endpoint, read_seconds, connections)

    if service == "s3" and "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
        from runtime.aws.s3_without_boto3 import SignedS3, serves

        if serves(access):
            return SignedS3(access, endpoint, read_seconds, boto)
    return boto()


def _boto(service: str, access: Access, endpoint: str | None, read_seconds: float, connections: int) -> Any:
    try:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError
    except ImportError:
        raise StoreError("AWS (s3://, kinesis://, sns://) needs boto3: pip install 'antfold[aws]'") from None
    try:
        session = boto3.Session(profile_name=access.profile, region_name=access.region)
        return session.client(
            service,
            endpoint_url=access.endpoint,
            config=Config(
                retries={"total_max_attempts": 1, "mode": "standard"},
                connect_timeout=CONNECT_SECONDS,
                read_timeout=read_seconds,
                max_pool_connections=connections,
                # We send and compare a SHA-256: no second checksum, and no chunked encoding for it.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                # S3-compatible services rarely have a host name for every bucket.
                s3={"addressing_style": "path"} if endpoint else None,
            ),
        )
    except (BotoCoreError, ValueError) as error:
        raise StoreError(explained(error, "use AWS", service)) from error


def fault_of(error: Exception) -> Fault | None:
    """The fault of an error that a client raised; None for other errors."""
    if isinstance(error, RequestFailed):
        return error.fault
    from botocore import exceptions as known
    from botocore.parsers import ResponseParserError

    if isinstance(error, known.ClientError):
        return classify(status_of(error), code_of(error))
    # Order matters, subclasses first: a connection that was never established sent nothing.
    if isinstance(error, known.ConnectTimeoutError | known.EndpointConnectionError | known.ProxyConnectionError):
        return Fault.UNSENT
    if isinstance(error, known.SSLError):
        return Fault.FINAL
    cut = (known.HTTPClientError, known.IncompleteReadError, known.ResponseStreamingError)
    damaged = (ResponseParserError, known.FlexibleChecksumError)
    if isinstance(error, (*cut, *damaged)):
        return Fault.LOST
    return Fault.FINAL if isinstance(error, known.BotoCoreError) else None


def code_of(error: Exception) -> str:
    """The service's error code in an error of boto3; empty if there is none."""
    response = getattr(error, "response", None)
    return str(response.get("Error", {}).get("Code", "")) if isinstance(response, dict) else ""


def status_of(error: Exception) -> int:
    """The HTTP status in an error of boto3; 0 if there is none."""
    response = getattr(error, "response", None)
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) if isinstance(response, dict) else 0


CREDENTIALS = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidToken",
    "TokenRefreshRequired",
)
"""Error codes of credentials that are refused, whatever is asked."""

_DENIED = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403", "Forbidden")


def explained(error: Exception, what: str, service: str) -> str:
    """The error as one sentence for a person: what failed, where, and what to do."""
    name = type(error).__name__
    code = code_of(error)
    if name in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"):
        why = "there are no AWS credentials: set AWS_PROFILE, log in, or name a profile (?profile= in a store's URL)"
    elif name == "NoRegionError":
        why = "no AWS region is set: set AWS_DEFAULT_REGION, or name one (?region= in a store's URL)"
    elif name == "ProfileNotFound":
        why = f"{error}: check ~/.aws/config and the name"
    elif name in ("EndpointConnectionError", "ConnectTimeoutError"):
        why = unreachable(_host(error))
    elif name == "ReadTimeoutError":
        why = silent(_host(error))
    elif name == "ProxyConnectionError":
        why = f"{error}: check HTTPS_PROXY and NO_PROXY, and the proxy"
    elif code in CREDENTIALS or name in ("TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"):
        why = f"the AWS credentials are refused or have expired ({code or name}): renew them"
    elif code in _DENIED:
        why = "permission denied: this identity's policies must allow it"
    elif code == "RequestTimeTooSkewed":
        why = "this machine's clock is wrong: set it"
    elif code == "NoSuchBucket":
        why = "the bucket does not exist: create it first (antfold creates no buckets), or check its name"
    elif code:
        text = getattr(error, "response", {}).get("Error", {}).get("Message", "")
        why = f"{code}: {text}"
    else:
        why = str(error) or name
    return f"cannot {what} ({service}): {why.rstrip('.')}."


def _host(error: Exception) -> str:
    url = str(getattr(error, "kwargs", {}).get("endpoint_url", ""))
    return urlsplit(url).netloc or "the endpoint"
