"""The worker's side: one task in, one partial state out."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from operators.compiler.cache import mode
from operators.errors import DataflowError
from runtime.errors import FormatError
from runtime.fleet.messages import MAX_STATE, VERSION, fetch, store
from runtime.kernels import KernelRef, install
from runtime.query import wire
from runtime.query.task import Task, run
from runtime.signing import signer_of_environment
from runtime.store import Store


def answer(event: Any, open_store: Callable[[str], Store] = Store.shared, most: int = MAX_STATE) -> dict[str, Any]:
    """The reply to a task's payload, as a JSON value; see ``messages``.

    A state of more than ``most`` bytes is put into the store. An error that would come again in the same way is told
    in the reply; any other is raised, for the one who asked may try again.
    """
    import json

    if not isinstance(event, dict) or event.get("version") != VERSION:
        return _error("", FormatError(f"a task of version {VERSION} was expected, this is none: update this worker"))
    if "stored" in event:
        task = Task.from_bytes(fetch(open_store(event["store"]).objects, event["stored"]))
    else:
        task = Task.from_bytes(json.dumps(event["task"]).encode())
    held = open_store(task.store)
    try:
        _have_kernels(event, held)
        with held.opened.ahead(task.files):
            state = wire.pack(run(task, held.open_file))
    except (DataflowError, MemoryError) as error:
        return _error(task.id, error)
    told: dict[str, Any] = {"version": VERSION, "task": task.id}
    if len(state) > most:
        return {**told, "stored": store(held.objects, f"{event['spill']}.state", state)}
    return {**told, "state": base64.b64encode(state).decode()}


def _have_kernels(event: Any, store: Store) -> None:
    """What the request names is here from now on, for a worker that compiles nothing."""
    if mode() == "ready" and (told := event.get("kernels")):
        install(store.objects, [KernelRef.from_dict(k) for k in told], signer_of_environment())


def _error(task: str, error: Exception) -> dict[str, Any]:
    return {"version": VERSION, "task": task, "error": {"type": type(error).__name__, "message": str(error)}}
