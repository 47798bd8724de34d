"""The worker's side: one task in, one partial state out."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from operators.compiler.cache import mode
from operators.errors import DataflowError
from runtime.aws.kms import signer_of_environment
from runtime.errors import FormatError, OtherRelease
from runtime.fleet.message_versions import is_spoken, kernels_differ, refusal_of, release
from runtime.fleet.messages import MAX_STATE, check_request, fetch, refusal, reply
from runtime.objects import ObjectStore
from runtime.query.kernel_store import KernelRef, install, kernel_digests
from runtime.query.task import state_bytes
from runtime.query.task.task import Task, run
from runtime.result.cost import VCPU_MB, Used, Worker
from runtime.storage.open_store import OpenStore


def answer(
    event: Any, open_store: Callable[[str], OpenStore] = OpenStore.shared, most: int = MAX_STATE
) -> dict[str, Any]:
    """The reply to a task's payload, as a JSON value; see ``messages``.

    A state of more than ``most`` bytes goes into the store. An error that a retry would repeat is returned in the
    reply; any other is raised, so that the caller may retry.
    """
    import json

    begun, objects, gets, size = time.monotonic(), None, 0, 0
    version = event.get("version") if isinstance(event, dict) else None
    if not is_spoken(version):
        return refusal_of(version)
    if "stored" in event:
        objects = open_store(event["store"]).objects
        gets, size = objects.gets, objects.bytes_read
        asked = json.loads(fetch(objects, event["stored"]))
    else:
        asked = event["task"]
    try:
        request = check_request(event, asked)
    except FormatError as error:
        return {**refusal("", error), "version": version}
    task = Task.from_bytes(json.dumps(asked).encode())
    held = open_store(task.store)
    if objects is None:
        gets, size = held.objects.gets, held.objects.bytes_read
    try:
        _check_kernels(event, task)
        _have_kernels(event, held)
        with held.opened.ahead(task.files):
            state = state_bytes.pack(run(task, held.open_file), request)
        sent = reply(task.id, state, event["spill"], held.objects, most)
    except (DataflowError, MemoryError) as error:
        sent = refusal(task.id, error)
    return {**sent, "version": version, "used": asdict(used(held.objects, begun, gets, size, int("stored" in sent)))}


def _have_kernels(event: Any, store: OpenStore) -> None:
    """Install the kernels that the request names, on a worker that compiles nothing."""
    if mode() == "ready" and (listed := event.get("kernels")):
        install(store.objects, [KernelRef.from_dict(k) for k in listed], signer_of_environment())


def _check_kernels(event: dict[str, Any], task: Task) -> None:
    """Raise OtherRelease if the request says which kernels must answer it, and those of this worker differ.

    Answers of different kernels must not be merged. Clients of the version before do not say which; they compare
    nothing, so the proof of their result names both.
    """
    if (digests := event.get("digests")) is None:
        return
    compiled = task.compiled()
    if list(kernel_digests(compiled.plan)) != digests:
        raise OtherRelease(kernels_differ(event.get("release"), release()))


def used(objects: ObjectStore, begun: float, gets: int, size: int, puts: int) -> Used:
    """The usage of this invocation since ``begun``, given the earlier reads from ``objects``."""
    seconds = time.monotonic() - begun
    return Used.of(seconds, this_worker(), objects.gets - gets, puts, objects.bytes_read - size)


def this_worker() -> Worker:
    """The size of this Lambda function; elsewhere the default size."""
    architecture = "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"
    return Worker(int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", VCPU_MB)), architecture)
