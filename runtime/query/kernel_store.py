"""Kernels in a store: published by processes that compile, installed by workers that cannot.

An object ``kernels/TARGET/NAME-DIGEST40/SHA256.so`` is the shared object of one kernel: its digest says what it
computes, its SHA-256 identifies the file. ``SHA256-*.mac`` beside it are its signatures, one per signing key: a new
deployment has a new key.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from dataflow.kernels.compile import KernelFile, stage_files
from dataflow.plan.stages import Plan, table_stages
from operators import forking
from operators.compiler import cache, sealed
from operators.compiler.targets import Target, worker
from operators.errors import DataflowError
from runtime.aws.kms import KEY_VARIABLE, Signer
from runtime.objects import FileMissing, ObjectInfo, ObjectStore

if TYPE_CHECKING:
    from runtime.query.task.task import Compiled

PREFIX = "kernels/"

MAX_BYTES = 16 << 20
"""Maximum size of a kernel: a larger size in a request is refused before anything is read."""

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_HEX64 = re.compile(r"[0-9a-f]{64}")
_OBJECT = re.compile(
    rf"{PREFIX}([a-z0-9_]+)/([a-z_][a-z0-9_]*)-([0-9a-f]{{40}})/([0-9a-f]{{64}})(\.so|-[0-9a-f]{{16}}\.mac)"
)

_MAC_BYTES = 1_024
"""Maximum size of a signature."""


class KernelRefused(DataflowError):
    """A kernel that is damaged, misnamed or unsigned: it is not loaded."""


@dataclass(frozen=True)
class KernelRef:
    """One kernel in a store: what it computes (``digest``), for which target, and its exact file.

    ``mac`` is its signature, or empty.
    """

    name: str
    digest: str
    target: str
    path: str
    bytes: int
    sha256: str
    mac: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The reference as a JSON value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> KernelRef:
        """The reference in a JSON value; KernelRefused if it is malformed."""
        texts = ("name", "digest", "target", "path", "sha256", "mac")
        if not isinstance(fields, dict) or set(fields) != {*texts, "bytes"}:
            raise KernelRefused("the request has a malformed kernel reference: update the caller or this worker")
        ref = cls(**fields)
        valid = all(isinstance(getattr(ref, t), str) for t in texts) and type(ref.bytes) is int
        valid = valid and all(
            p.fullmatch(t) for p, t in ((_NAME, ref.name), (_HEX64, ref.digest), (_HEX64, ref.sha256))
        )
        if not valid or not 0 < ref.bytes <= MAX_BYTES or ref.path != _path(ref, ref.target, ref.sha256):
            raise KernelRefused(f"the request names an impossible kernel: {str(ref.path)[:200]!r}")
        return ref


@dataclass(frozen=True)
class KernelInfo:
    """A kernel in a store; ``digest`` is the part of it in the name, ``modified`` is in microseconds UTC."""

    name: str
    target: str
    digest: str
    bytes: int
    sha256: str
    signed: bool
    modified: int


def signed_message(path: str) -> bytes:
    """The signed message for a kernel: its path, which contains its digest, target and SHA-256."""
    return b"antfold kernel\0" + path.encode()


def _folder(file: KernelFile | KernelRef, target: str) -> str:
    return f"{PREFIX}{target}/{file.name}-{file.digest[:40]}/"


def _path(file: KernelFile | KernelRef, target: str, sha256: str) -> str:
    return f"{_folder(file, target)}{sha256}.so"


# ---- publishing, where kernels are compiled

_published: WeakKeyDictionary[ObjectStore, dict[tuple[str, str, str], KernelRef]] = WeakKeyDictionary()
_lock = forking.lock()


def kernel_files(plan: Plan, after: bool = True) -> tuple[KernelFile, ...]:
    """The kernels of a plan's tasks, and with ``after`` those that run on the merged table."""
    stages = [*plan.stages, *(table_stages(plan.after) if after else ())]
    return tuple({(f.name, f.digest): f for stage in stages for f in stage_files(stage)}.values())


def kernel_digests(plan: Plan) -> tuple[str, ...]:
    """What the kernels of a plan's tasks compute, by stage; equal for equal code on any machine."""
    return tuple(stage_files(stage)[0].digest for stage in plan.stages)


def publish(
    objects: ObjectStore, compiled: Compiled, target: Target, signer: Signer | None = None, after: bool = True
) -> tuple[KernelRef, ...]:
    """Store the kernels of a plan that the store lacks; returns references for workers.

    ``signer`` signs those without a signature; without ``after``, only the tasks' kernels are included.
    TargetUnavailable if one is missing and cannot be compiled here.
    """
    with _lock:
        known = _published.setdefault(objects, {})
    refs = []
    for file in kernel_files(compiled.plan, after):
        key = (file.name, file.digest, target.key)
        found = known.get(key)
        if found is None or (signer is not None and not found.mac):
            found = known[key] = _publish(objects, file, target, signer)
        refs.append(found)
    return tuple(refs)


def _publish(objects: ObjectStore, file: KernelFile, target: Target, signer: Signer | None) -> KernelRef:
    found = find(objects, file, target, signer)
    if found is not None:
        return found
    # Compiled here even if the store has an unsigned one, which may come from anyone.
    data = sealed.read(file.build(target))
    path, mac = _path(file, target.name, hashlib.sha256(data).hexdigest()), ""
    objects.put(path, data)
    if signer is not None:
        mac = signer.sign(signed_message(path))
        objects.put(f"{path[:-3]}-{hashlib.sha256(mac.encode()).hexdigest()[:16]}.mac", mac.encode())
    return _ref(file, target, path, len(data), mac)


def find(objects: ObjectStore, file: KernelFile, target: Target, signer: Signer | None) -> KernelRef | None:
    """A kernel that the store has; with a ``signer``, only one with its signature."""
    there = list(objects.list(_folder(file, target.name)))
    kernels = {i.path: i.size for i in there if i.path.endswith(".so")}
    found = _signed(objects, there, kernels, signer)
    if found is None and signer is None and kernels:
        found = next(iter(kernels)), ""
    return None if found is None else _ref(file, target, found[0], kernels[found[0]], found[1])


def _ref(file: KernelFile, target: Target, path: str, size: int, mac: str) -> KernelRef:
    sha256 = path.rpartition("/")[2].removesuffix(".so")
    return KernelRef(file.name, file.digest, target.name, path, size, sha256, mac)


def _signed(
    objects: ObjectStore, there: Sequence[ObjectInfo], kernels: Container[str], signer: Signer | None
) -> tuple[str, str] | None:
    """A stored kernel and its signature by ``signer``; without a signer, the latest kernel."""
    for info in sorted(there, key=lambda i: i.modified, reverse=True):
        path = info.path.rpartition("-")[0] + ".so"
        if info.path.endswith(".mac") and path in kernels and info.size <= _MAC_BYTES:
            mac = objects.read(info.path, 0, info.size).decode("ascii", "replace")
            if signer is None or signer.verify(signed_message(path), mac):
                return path, mac
    return None


def listed(objects: ObjectStore) -> Iterator[KernelInfo]:
    """All kernels in the store, by target, name and digest."""
    found = [(info, match) for info in objects.list(PREFIX) if (match := _OBJECT.fullmatch(info.path))]
    signed = {info.path.rpartition("-")[0] + ".so" for info, match in found if match[5] != ".so"}
    for info, match in found:
        if match[5] == ".so":
            has = info.path in signed
            yield KernelInfo(match[2], match[1], match[3], info.size, match[4], has, info.modified)


# ---- installing, on workers


def install(objects: ObjectStore, refs: Sequence[KernelRef], signer: Signer | None = None) -> None:
    """Install kernels on this worker: missing ones are read from the store into its cache folder.

    A file gets its final name only after its size and SHA-256 (and, with a ``signer``, its signature) were verified.
    KernelRefused names a kernel that fails.
    """
    target = worker()
    for ref in refs:
        if ref.target != target.name:
            raise KernelRefused(
                f"the kernel {ref.path} is for {ref.target}, and this worker is {target.name}: repeat the query"
            )
        if cache.ready_file(ref.name, ref.digest) is None:
            _install(objects, ref, target, signer)


def _install(objects: ObjectStore, ref: KernelRef, target: Target, signer: Signer | None) -> None:
    if signer is not None and not (ref.mac and signer.verify(signed_message(ref.path), ref.mac)):
        raise KernelRefused(
            f"the kernel {ref.path} has no valid signature, and this worker runs only signed kernels: repeat after "
            f"`export {KEY_VARIABLE}={signer.key}`, or use a published query"
        )
    try:
        data = objects.read(ref.path, 0, ref.bytes)
    except FileMissing:
        raise KernelRefused(f"the kernel {ref.path} is not in the store: repeat the query") from None
    found = hashlib.sha256(data).hexdigest()
    if found != ref.sha256:
        raise KernelRefused(f"the kernel {ref.path} is damaged: its SHA-256 is {found}; delete it and repeat the query")
    sealed.write(cache.cache_folder() / cache.file_name(ref.name, ref.digest, target), data)
