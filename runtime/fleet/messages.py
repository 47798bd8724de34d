"""What travels between coordinator and worker: JSON, and what is too large for it by way of the object store.

A task: ``{"version": 1, "spill": PREFIX, "task": {...}}``, or with ``"store": URL`` and ``"stored": {"path", "bytes",
"sha256"}`` in place of ``task``; with ``"kernels": [...]`` if the worker is to have kernels first (the fields of
``runtime.kernels.KernelRef``). A reply: ``{"version": 1, "task": ID}`` with ``"state"`` (a partial state as base64),
or ``"stored"``, or ``"error": {"type", "message"}``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from operators.errors import DataflowError
from runtime.errors import FormatError
from runtime.fleet.outcomes import Kind, Outcome, Reply, broken
from runtime.kernels import KernelRef
from runtime.objects import ObjectStore
from runtime.query import wire
from runtime.query.task import Task

VERSION = 1

MAX_PAYLOAD = 6 << 20
"""Bytes that one invocation of Lambda takes, and that it answers."""

MAX_STATE = 4 << 20
"""Bytes of a partial state that are answered directly: as base64 they stay below ``MAX_PAYLOAD``."""

_MAX_TASK = 5 << 20


def store(objects: ObjectStore, path: str, data: bytes) -> dict[str, Any]:
    """Put the bytes and return what finds and checks them."""
    objects.put(path, data)
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def fetch(objects: ObjectStore, stored: Any) -> bytes:
    """The bytes that ``store`` put; FormatError if they are not."""
    path, size, sha256 = stored["path"], stored["bytes"], stored["sha256"]
    data = objects.read(path, 0, size)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FormatError(f"{path} is damaged: its SHA-256 is not the one that was told")
    return data


def request(task: Task, spill: str, objects: ObjectStore, kernels: Sequence[KernelRef] = ()) -> bytes:
    """The payload that asks a worker for ``task``; large results, and a large task itself, go below ``spill``.

    ``kernels`` are those that the worker must have.
    """
    data = task.to_bytes()
    told: dict[str, Any] = {"version": VERSION, "spill": spill}
    if kernels:
        told["kernels"] = [k.to_dict() for k in kernels]
    if len(data) <= _MAX_TASK:
        return json.dumps(told).encode()[:-1] + b', "task": ' + data + b"}"
    return json.dumps({**told, "store": task.store, "stored": store(objects, f"{spill}.task", data)}).encode()


def read_reply(reply: Reply, task: Task, objects: ObjectStore) -> Outcome:
    """The outcome of an invocation that was asked for ``task``."""
    failed = broken(reply)
    if failed is not None:
        return failed
    try:
        told = json.loads(reply.payload)
        if told["version"] != VERSION:
            return Outcome(Kind.REFUSED, f"its worker is of another version: it answers in version {told['version']!r}")
        if "error" in told:
            type_, message = str(told["error"]["type"]), str(told["error"]["message"])
            return Outcome(Kind.MEMORY if type_ == "MemoryError" else Kind.REFUSED, f"{type_}: {message}")
        held = told.get("stored")
        state = base64.b64decode(told["state"], validate=True) if held is None else fetch(objects, held)
        partial = wire.unpack(state, task.id)
    except (ValueError, KeyError, TypeError, binascii.Error, DataflowError) as error:
        return Outcome(Kind.LOST, f"a reply that cannot be read ({error})")
    return Outcome(Kind.DONE, partial=partial, digest=hashlib.sha256(state).hexdigest())
