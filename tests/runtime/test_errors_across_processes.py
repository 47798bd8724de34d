"""Every error class of the project reaches another process, or comes back from one, as it is."""

from __future__ import annotations

import copy
import copyreg
import importlib
import inspect
import multiprocessing
import pickle
import pkgutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

import dataflow
import deploy
import operators
import runtime
from operators.aggregates import REGISTRY
from operators.errors import DataflowError, Portable
from operators.files import NotAFile
from operators.laws.check import LawBroken
from operators.laws.rows import random_rows
from runtime.aws.client import ServiceFault
from runtime.aws.retry import Fault
from runtime.errors import NoStore
from runtime.ingest.report import IngestReport, Interrupted, SourceReport, SourcesFailed

NO_PRODUCT = ("dataflow.__main__", "deploy.__main__")
"""Importing these runs a program."""


def _walked() -> Iterator[ModuleType]:
    for package in (operators, dataflow, runtime, deploy):
        yield package
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name not in NO_PRODUCT:
                yield importlib.import_module(found.name)


def _inner(kind: type) -> Iterator[type]:
    yield kind
    for value in vars(kind).values():
        if inspect.isclass(value) and value.__qualname__.startswith(f"{kind.__qualname__}."):
            yield from _inner(value)


def error_classes() -> list[type[BaseException]]:
    """All exceptions that the packages define, by name."""
    found = {
        kind
        for module in _walked()
        for top in vars(module).values()
        if inspect.isclass(top) and top.__module__ == module.__name__
        for kind in _inner(top)
        if issubclass(kind, BaseException)
    }
    return sorted(found, key=lambda kind: f"{kind.__module__}.{kind.__qualname__}")


@pytest.fixture(autouse=True)
def _own_pickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """As without tblib, which pickles every exception in its own way once another test has imported Dask."""
    for kind in [kind for kind in copyreg.dispatch_table if isinstance(kind, type) and issubclass(kind, BaseException)]:
        monkeypatch.delitem(copyreg.dispatch_table, kind)


REPORT = IngestReport(
    "telemetry",
    (SourceReport("a.ndjson", "ingested", committed=3), SourceReport("b.ndjson", "failed", error="no such file")),
)
PLAIN = {"str": "text", "int": 7, "float": 0.5, "bool": True, "Fault": Fault.LOST, "Sequence[int]": (1, 2)}
"""A value for parameters of each type."""

MADE: dict[str, Callable[[], BaseException]] = {
    "SourcesFailed": lambda: SourcesFailed("1 of 2 sources failed", REPORT),
    "Interrupted": lambda: Interrupted(REPORT, ["c.ndjson", "d.ndjson"]),
    "LawBroken": lambda: LawBroken(
        REGISTRY["count", None], "identity", random_rows(np.random.default_rng(1), 1, None, None)
    ),
}
"""Errors whose constructors take more than plain values."""


def made(kind: type[BaseException]) -> BaseException:
    """An instance, with a value in each field."""
    if kind.__name__ in MADE:
        return MADE[kind.__name__]()
    if kind.__init__ in {base.__init__ for base in (Exception, KeyboardInterrupt, ValueError, OSError, MemoryError)}:
        if issubclass(kind, OSError):
            return kind(22, "it is a pipe", "a/file")
        return kind("what is wrong, where: what to do")
    given = []
    for parameter in list(inspect.signature(kind).parameters.values()):
        name = str(parameter.annotation).removesuffix(" | None")
        if name == "BaseException":
            given.append(ValueError("the cause"))
        else:
            assert name in PLAIN, f"say in MADE how a {kind.__name__} is made"
            given.append(PLAIN[name])
    return kind(*given)


def described(error: BaseException | None) -> Any:
    """All that a caller can see of an error, as values that can be compared."""
    if error is None:
        return None
    fields = {name: described(v) if isinstance(v, BaseException) else v for name, v in vars(error).items()}
    system = (error.errno, error.strerror, error.filename) if isinstance(error, OSError) else ()
    suppressed = error.__suppress_context__
    return type(error), str(error), error.args, fields, system, suppressed, described(error.__cause__)


def noted(kind: type[BaseException]) -> BaseException:
    """An instance with a cause that has a cause, and a note."""
    error = made(kind)
    cause = NoStore("there is no store", near="./store")
    cause.__cause__ = OSError(2, "no such file", "x")
    error.__cause__ = cause
    error.add_note("while day 3 was read")
    return error


KINDS = error_classes()


def test_all_classes_are_found() -> None:
    names = {kind.__name__ for kind in KINDS}
    assert {"DataflowError", "ServiceFault", "Interrupted", "UsageError", "NotAFile", "KeysErased"} <= names
    assert len(KINDS) > 45


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_the_same_elsewhere(kind: type[BaseException]) -> None:
    if kind.__module__.startswith("runtime.testing.oracle"):
        assert pickle.loads(pickle.dumps(kind("text"))).args == ("text",)  # it shares no code with the product
        return
    assert issubclass(kind, Portable), f"{kind.__name__} needs operators.errors.Portable as its first base class"
    error = noted(kind)
    for copied in (
        *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
        copy.copy(error),
        copy.deepcopy(error),
        pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(error)))),
    ):
        assert described(copied) == described(error)
        assert copied.__notes__ == ["while day 3 was read"]


def raise_it(error: BaseException) -> None:
    """Raises it, in a worker."""
    raise error


def test_errors_come_back_from_a_pool() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        for kind in KINDS:
            # An interrupt ends a worker, as it should; that of an ingest reaches only its own caller.
            if not issubclass(kind, Exception) or not issubclass(kind, Portable):
                continue
            error = made(kind)
            with pytest.raises(kind) as caught:
                pool.submit(raise_it, error).result(timeout=120)
            # The pool puts the worker's traceback in the place of the cause.
            assert described(caught.value)[:5] == described(error)[:5]


def test_causes_of_other_libraries() -> None:
    refused = ClientError({"Error": {"Code": "SlowDown", "Message": "slow"}}, "PutObject")
    unreachable = EndpointConnectionError(endpoint_url="http://localhost:1")
    for cause in (refused, unreachable):
        copied = pickle.loads(pickle.dumps(ServiceFault(Fault.THROTTLED, "m", "SlowDown", cause)))
        assert (type(copied.__cause__), str(copied.__cause__)) == (type(cause), str(cause))

    class Awkward(Exception):
        def __init__(self, first: int, second: int) -> None:
            super().__init__(f"{first} and {second}")

    copied = pickle.loads(pickle.dumps(ServiceFault(Fault.LOST, "m", cause=Awkward(1, 2))))
    assert (type(copied.__cause__), str(copied.__cause__)) == (Exception, "Awkward: 1 and 2")
    assert copied.__suppress_context__


def test_fields_that_cannot_be_sent_arrive_as_text() -> None:
    error = DataflowError("m")
    error.lock = threading.Lock()  # type: ignore[attr-defined]
    error.rows = 3  # type: ignore[attr-defined]
    copied = pickle.loads(pickle.dumps(error))
    assert copied.rows == 3
    assert copied.lock.startswith("<unlocked _thread.lock")


def test_a_file_name_of_the_system_is_kept() -> None:
    copied = pickle.loads(pickle.dumps(NotAFile(22, "a pipe", "x/y")))
    assert (copied.errno, copied.filename) == (22, "x/y")
