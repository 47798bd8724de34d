"""The version of the messages between clients, relays and workers, and which versions work together.

Both ends read and write ``PROTOCOL`` and the version before it. A client asks in the newest one; an older worker
refuses that in its own newest one, in which the client then asks again. If the versions are further apart, the error
says which side to update.

Raise ``PROTOCOL`` when the code before would misread a message, or answer it differently: fields of requests and
replies, the bytes of partial states (``state_bytes``), the meaning of a plan's JSON form, the arguments of kernels, the
versions of point files. Not for a new kernel: kernels are compared by digest, whatever the protocol. With each raise,
record the messages of the former version (``tests/runtime/fleet/recorded_messages.py``), keep reading and writing them,
and remove what was for the one before that.

| version | what changed |
|---|---|
| 5 | the first one that has a successor |
| 6 | a request may have ``digests`` and ``release``, a reply ``release``; refusals of a version are typed |
"""

from __future__ import annotations

import re
from typing import Any

PROTOCOL = 6
OLDEST = PROTOCOL - 1
"""The oldest version that is read and written."""

OTHER_VERSION, OTHER_RELEASE = "OtherVersion", "OtherRelease"
"""The types of the errors in a reply by which a worker refuses a client's version, or its kernels."""

CLIENT, DEPLOYMENT = "update antfold here (pip install -U antfold)", "update the deployment (dataflow deploy)"


def release() -> str:
    """The release of antfold that runs, for messages only: what works together is decided by ``PROTOCOL``."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and rarely needed

    try:
        return version("antfold")
    except PackageNotFoundError:
        return "unknown"


def is_spoken(version: object) -> bool:
    """Whether messages of this version are read and written here."""
    return type(version) is int and OLDEST <= version <= PROTOCOL


def refusal_of(version: object) -> dict[str, Any]:
    """A worker's reply to a request of a version that it does not read.

    An older client gets it in its own version, so that it can read the sentence; a newer one in the worker's newest,
    in which it then asks again if it can.
    """
    older = type(version) is int and version < OLDEST
    said = str(version) if type(version) is int else "no"
    message = (
        f"the query comes in version {said:.20} of the messages, and this worker (antfold {release()}) reads "
        f"{OLDEST} and {PROTOCOL}: {CLIENT if older else DEPLOYMENT}"
    )
    error = {"type": OTHER_VERSION, "message": message}
    return {"version": version if older else PROTOCOL, "task": "", "release": release(), "error": error}


def mismatch_of(version: object, named: object) -> str:
    """What a client says of a reply in a version that it does not read; ``named``: the worker's release, if known."""
    older = type(version) is int and version < OLDEST
    who = "its worker" + (f" (antfold {named:.40})" if isinstance(named, str) else "")
    return (
        f"{who} replies in version {version!s:.20} of the messages, and antfold {release()} here reads {OLDEST} and "
        f"{PROTOCOL}: {DEPLOYMENT if older else CLIENT}"
    )


def kernels_differ(client: object, worker: object) -> str:
    """What is said if client and worker would compute a query with different kernels; both are releases."""
    mine, other = _numbers(client), _numbers(worker)
    if mine and other and mine != other:
        what = CLIENT if mine < other else DEPLOYMENT
    else:
        what = f"use one release: {CLIENT}, or {DEPLOYMENT}"
    names = [f"antfold {said:.40}" if isinstance(said, str) else "another antfold" for said in (client, worker)]
    return f"the worker ({names[1]}) would compute this query with other kernels than {names[0]} here: {what}"


def _numbers(said: object) -> list[int]:
    return [int(n) for n in re.findall(r"\d{1,9}", said)] if isinstance(said, str) else []
