"""Messages between coordinator and worker: JSON; large parts go through the object store.

A task: ``{"version": 6, "request": SHA256, "spill": PREFIX, "task": {...}}`` (``request`` is the task's
``request_digest``, which the state in the reply repeats), or with ``"store": URL`` and ``"stored": {"path", "bytes",
"sha256"}`` instead of ``task``; with ``"kernels": [...]`` if the worker must first install kernels (the fields of
``runtime.query.kernel_store.KernelRef``), ``"digests": [...]`` of what the kernels must compute, and ``"release"`` of
the client. A reply: ``{"version": 6, "task": ID, "used": {...}}`` with ``"state"`` (a partial state as base64), or
``"stored"``, or ``"error": {"type", "message"}``; ``used`` is the billed usage. ``message_versions.py`` says which
versions work together; a reply has the version of its request.

A request to a relay has ``batch`` instead of ``task``, and the further fields that ``relay.py`` lists. Its reply also
has ``"tasks"``, the names of its tasks or their splits, and ``"failed"``, the error texts of those that failed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from operators.errors import DataflowError
from runtime.catalogue import FileEntry
from runtime.errors import FormatError
from runtime.fleet.message_versions import (
    OTHER_RELEASE,
    OTHER_VERSION,
    PROTOCOL,
    is_spoken,
    kernels_differ,
    mismatch_of,
)
from runtime.fleet.message_versions import release as own_release
from runtime.fleet.outcomes import Kind, Outcome, Reply, broken
from runtime.fleet.rules import TaskBatch, Work
from runtime.objects import ObjectStore
from runtime.query.task import state_bytes
from runtime.query.task.task import Task, request_digest
from runtime.result.cost import Used

MAX_PAYLOAD = 6 << 20
"""Maximum bytes of a Lambda request, and of a response."""

MAX_STATE = 4 << 20
"""Maximum bytes of a partial state inside a reply: as base64 it stays below ``MAX_PAYLOAD``."""

_MAX_TASK = 5 << 20


def store(objects: ObjectStore, path: str, data: bytes) -> dict[str, Any]:
    """Store the bytes and return a reference with which to find and check them."""
    objects.put(path, data)
    return {"path": path, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def fetch(objects: ObjectStore, stored: Any) -> bytes:
    """The bytes behind a reference of ``store``; FormatError if they differ."""
    path, size, sha256 = stored["path"], stored["bytes"], stored["sha256"]
    data = objects.read(path, 0, size)
    if hashlib.sha256(data).hexdigest() != sha256:
        raise FormatError(f"{path} is damaged: its SHA-256 is not the one in the reply")
    return data


def request(
    work: Work, spill: str, objects: ObjectStore, extra: Mapping[str, Any] | None = None, version: int = PROTOCOL
) -> bytes:
    """The payload that asks a worker for a task, or a relay for a batch; ``extra``: further request fields, ``version``
    that of the message.

    Large results, and a large task or batch itself, are stored below ``spill``.
    """
    if isinstance(work, TaskBatch):
        name, data, url = "batch", work.to_bytes(), work.tasks[0].store
    else:
        name, data, url = "task", work.to_bytes(), work.store
    # Cached: serialising the work again for every reply would take as long again.
    digest = vars(work).setdefault("request_digest", request_digest(json.loads(data)))
    head: dict[str, Any] = {"version": version, "request": digest, "spill": spill, **(extra or {})}
    if len(data) <= _MAX_TASK:
        return json.dumps(head).encode()[:-1] + f', "{name}": '.encode() + data + b"}"
    return json.dumps({**head, "store": url, "stored": store(objects, f"{spill}.{name}", data)}).encode()


def stored_bytes(task: Task) -> int:
    """The bytes of a task that is too long for a request, which its worker reads from the store; else 0."""
    if not task.files:
        return 0
    # To write down a task of thousands of files takes a while: not where it cannot be too long.
    few = replace(task, files=task.files[:8])
    if len(few.to_bytes()) * len(task.files) < 4 * _MAX_TASK:
        return 0
    size = len(task.to_bytes())
    return size if size > _MAX_TASK else 0


def check_request(event: Mapping[str, Any], asked: Any) -> str:
    """The digest of the requested work; FormatError if it differs from the sent one."""
    digest = request_digest(asked)
    if event.get("request") != digest:
        raise FormatError("a request was altered in transit: repeat the query")
    return digest


def read_batch(fields: Any) -> TaskBatch:
    """The batch of a payload's JSON; KeyError, TypeError or ValueError if it is malformed."""
    lists = [tuple(FileEntry(**f) for f in found) for found in fields["files"]]
    first = Task.from_bytes(json.dumps(fields["shared"]).encode())
    tasks = [replace(first, id=name, shard=(lo, hi), files=lists[at]) for name, lo, hi, at in fields["tasks"]]
    if not tasks:
        raise ValueError("a batch without tasks")
    return TaskBatch(str(fields["id"]), tuple(tasks))


def is_whole(batch: TaskBatch, named: Sequence[str]) -> bool:
    """Whether the names are those of the batch's tasks, or of their halves, each once."""
    left = set(named)

    def taken(name: str) -> bool:
        if name in left:
            left.remove(name)
            return True
        below = f"{name}."
        return any(n.startswith(below) for n in left) and taken(f"{name}.0") and taken(f"{name}.1")

    return len(left) == len(named) and all(taken(task.id) for task in batch.tasks) and not left


def reply(name: str, state: bytes, spill: str, objects: ObjectStore, most: int = MAX_STATE) -> dict[str, Any]:
    """The reply for the work ``name``; a state of more than ``most`` bytes goes into the store."""
    fields: dict[str, Any] = {"version": PROTOCOL, "task": name}
    if len(state) > most:
        return {**fields, "stored": store(objects, f"{spill}.state", state)}
    return {**fields, "state": base64.b64encode(state).decode()}


def refusal(name: str, error: Exception) -> dict[str, Any]:
    """The reply for an error that a retry would repeat."""
    return {"version": PROTOCOL, "task": name, "error": {"type": type(error).__name__, "message": str(error)}}


_KINDS = {
    "MemoryError": Kind.MEMORY,
    "NotEnoughMemory": Kind.MEMORY,
    "QueryTimeout": Kind.TIME,
    OTHER_VERSION: Kind.VERSION,
    OTHER_RELEASE: Kind.RELEASE,
}
"""Errors that a smaller task may avoid, or another worker."""


def read_reply(
    reply: Reply,
    work: Work,
    objects: ObjectStore,
    digests: Collection[str] | None = None,
    asked: int = PROTOCOL,
) -> Outcome:
    """The outcome of an invocation for ``work``, which was requested in version ``asked``.

    ``digests`` are those of the kernels that may have computed it (None: any); a state of others is not accepted.
    """
    failed = broken(reply)
    if failed is not None:
        return failed
    try:
        fields = json.loads(reply.payload)
        version = fields["version"]
        if not is_spoken(version):
            return Outcome(Kind.VERSION, mismatch_of(version, fields.get("release")))
        if version < asked and "error" in fields:
            return Outcome(Kind.VERSION, mismatch_of(version, fields.get("release")), speaks=version)
        used = Used.from_dict(fields["used"]) if "used" in fields else None
        if "error" in fields:
            type_, message = str(fields["error"]["type"]), str(fields["error"]["message"])
            if version < PROTOCOL and type_ == "KernelMissing":
                # A worker of the version before that has no kernels but its own.
                return Outcome(Kind.RELEASE, f"{message} ({kernels_differ(own_release(), None)})", used=used)
            if type_ in (OTHER_VERSION, OTHER_RELEASE):
                return Outcome(_KINDS[type_], message, used=used)
            if isinstance(work, TaskBatch) and type_ in ("TaskFailed", "QueryTimeout"):
                return Outcome(_KINDS.get(type_, Kind.REFUSED), message, named=True, used=used)
            return Outcome(_KINDS.get(type_, Kind.REFUSED), f"{type_}: {message}", used=used)
        missing = {str(name): str(text) for name, text in fields.get("failed", {}).items()}
        tasks = tuple(map(str, fields.get("tasks", ())))
        if isinstance(work, TaskBatch) and (not tasks or not missing.keys() <= set(tasks)):
            raise ValueError("it does not name its tasks")
        if isinstance(work, TaskBatch) and not is_whole(work, tasks):
            raise ValueError("it names other tasks than those in its request")
        if missing and not isinstance(work, TaskBatch):
            raise ValueError("a single task cannot be partly failed")
        if missing and len(missing) == len(tasks):
            return Outcome(Kind.DONE, tasks=tasks, failed=missing, used=used)
        held = fields.get("stored")
        state = base64.b64decode(fields["state"], validate=True) if held is None else fetch(objects, held)
        partial = state_bytes.unpack(state, work.id, work.request_digest)
        if digests is not None and set(partial.kernels) != set(digests):
            return Outcome(Kind.RELEASE, kernels_differ(own_release(), fields.get("release")), used=used)
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError, DataflowError) as error:
        return Outcome(Kind.LOST, f"a reply that cannot be read ({error})")
    # The failed tasks may differ from one reply to the next, so such replies are not compared.
    digest = "" if missing else hashlib.sha256(state).hexdigest()
    return Outcome(Kind.DONE, partial=partial, digest=digest, tasks=tasks, failed=missing, used=used)
