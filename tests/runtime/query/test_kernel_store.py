"""Kernels in a store: published once, checked before loading, run by workers without a compiler."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import pytest
from moto import mock_aws

import dataflow as df
from operators.compiler import cache, link, prebuild, sealed
from operators.compiler.targets import TARGETS, Target, TargetUnavailable, worker
from operators.errors import DataflowError
from runtime import Store
from runtime.aws.access import Access
from runtime.aws.kms import KmsSigner
from runtime.errors import QueryError
from runtime.fleet import Fleet, Reply, Rules
from runtime.fleet.aws_lambda import target_of
from runtime.fleet.worker import answer
from runtime.objects import FolderObjects
from runtime.query import kernel_store
from runtime.query.kernel_store import KernelRef, KernelRefused
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Compiled
from tests.operators.test_targets import BLOCKED

METRIC = (
    df.stream("s").sessionize("5m", top=df.max("v")).group_by("status")
    .agg(n=df.count(), mean=df.mean("top")).group_by().agg(all=df.sum("n"))
)  # fmt: skip
"""Two stages in the tasks, one of them with a finish, and one on the merged table."""

WORKER = """
import json, sys
from runtime.fleet.worker import answer
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
assert not {"numba", "llvmlite", "boto3"} & set(sys.modules)
"""


class Hmac:
    """A signer with a key of its own."""

    def __init__(self, key: str = "k") -> None:
        self.key, self.signed = key, 0

    def sign(self, data: bytes) -> str:
        self.signed += 1
        return hmac.new(self.key.encode(), data, hashlib.sha256).hexdigest()

    def verify(self, data: bytes, mac: str) -> bool:
        return hmac.compare_digest(hmac.new(self.key.encode(), data, hashlib.sha256).hexdigest(), mac)


@pytest.fixture(scope="module")
def here() -> Target:
    try:
        link.linker(worker())
    except DataflowError as error:
        pytest.skip(str(error))
    return worker()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    i = np.arange(5_000)
    columns = {"device": i % 30, "ts": i * 977, "status": np.array(["up", "down", "off"])[i % 3], "v": i * 0.1}
    store.ingest("s", columns, key="device", time="ts", unit="s", progress=False)
    return store


def compiled(store: Store) -> Compiled:
    return prepare(store.catalogue, Request(METRIC.steps, {}, None, None)).compiled


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process as a worker with an empty cache."""
    monkeypatch.setenv(cache.MODE_VARIABLE, "ready")
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "worker"))
    monkeypatch.delenv(cache.PATH_VARIABLE, raising=False)
    return tmp_path / "worker" / "kernels"


@pytest.fixture
def published(store: Store, here: Target) -> tuple[KernelRef, ...]:
    return kernel_store.publish(store.objects, compiled(store), here)


@pytest.fixture
def process(tmp_path: Path, here: Target) -> Iterator[subprocess.Popen[str]]:
    """A worker that cannot import Numba, with the library loops that it was built with."""
    prebuild(tmp_path / "ready", here)
    variables = {"ANTFOLD_KERNELS": "ready", "ANTFOLD_KERNEL_PATH": str(tmp_path / "ready")}
    variables["ANTFOLD_CACHE_DIR"] = str(tmp_path / "worker")
    command = [sys.executable, "-c", BLOCKED + WORKER]
    running = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | variables
    )
    yield running
    running.communicate(timeout=30)
    assert running.returncode == 0


def asker(running: subprocess.Popen[str], seen: list[Any]) -> Any:
    lock = threading.Lock()

    def invoke(payload: bytes) -> Reply:
        with lock:
            seen.append(json.loads(payload))
            assert running.stdin is not None
            assert running.stdout is not None
            running.stdin.write(payload.decode() + "\n")
            running.stdin.flush()
            return Reply(200, running.stdout.readline().encode())

    return invoke


def test_workers_without_a_compiler(store: Store, process: Any, here: Target) -> None:
    """The same bits; the request names the tasks' kernels, and not those of the merged table."""
    seen: list[Any] = []
    expected = store.query(METRIC, progress=False)
    fleet = Fleet(asker(process, seen), target=here)
    result = store.query(METRIC, executor=fleet, progress=False)
    assert result.proof.result == expected.proof.result
    assert result.proof.kernels == expected.proof.kernels
    names = [k["name"] for k in seen[0]["kernels"]]
    assert len(names) == len(kernel_store.kernel_files(compiled(store).plan, after=False))
    assert len(names) < len(kernel_store.kernel_files(compiled(store).plan))


def test_a_worker_that_was_given_no_kernels(store: Store, process: Any) -> None:
    fleet = Fleet(asker(process, []), Rules(base=0.001))
    with pytest.raises(QueryError, match=r"task 0\.0 of s .*KernelMissing: there is no undamaged kernel step-\w{40}"):
        store.query(METRIC, executor=fleet, progress=False)


def test_only_what_is_missing_is_put(store: Store, here: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    real = FolderObjects.list
    monkeypatch.setattr(FolderObjects, "list", lambda self, prefix: asked.append(prefix) or real(self, prefix))
    first = kernel_store.publish(store.objects, compiled(store), here)
    assert len(first) == len(asked) == len({r.path for r in first}) >= 4
    assert kernel_store.publish(store.objects, compiled(store), here) == first
    assert len(asked) == len(first)
    # Another process finds them, and compiles nothing.
    monkeypatch.setattr(cache, "built", lambda *args: pytest.fail("compiled"))
    assert kernel_store.publish(Store(store.url).objects, compiled(store), here) == first
    for ref in first:
        data = store.objects.read(ref.path, 0, ref.bytes)
        assert ref.path == f"kernels/{here.name}/{ref.name}-{ref.digest[:40]}/{hashlib.sha256(data).hexdigest()}.so"
        assert KernelRef.from_dict(json.loads(json.dumps(ref.to_dict()))) == ref
    assert {k.sha256 for k in kernel_store.listed(store.objects)} == {r.sha256 for r in first}


def test_install(store: Store, published: tuple[KernelRef, ...], ready: Path) -> None:
    """Each is there under its final name; what is there is not read again."""
    assert all(cache.ready_file(r.name, r.digest) is None for r in published)
    kernel_store.install(store.objects, published)
    for ref in published:
        file = cache.ready_file(ref.name, ref.digest)
        assert file is not None
        assert hashlib.sha256(sealed.read(file)).hexdigest() == ref.sha256
    assert len(list(ready.iterdir())) == len(published)
    kernel_store.install(FolderObjects(ready / "nowhere"), published)


def test_many_at_once(store: Store, published: tuple[KernelRef, ...], ready: Path) -> None:
    failures: list[BaseException] = []

    def install() -> None:
        try:
            kernel_store.install(store.objects, published)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=install) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures
    assert len(list(ready.iterdir())) == len(published)


@pytest.mark.parametrize("damage", ["bit", "short", "gone"])
def test_a_damaged_kernel_is_refused(store: Store, published: tuple[KernelRef, ...], ready: Path, damage: str) -> None:
    """And nothing is left of it."""
    path = Path(store.url) / published[0].path
    data = bytearray(path.read_bytes())
    path.chmod(0o600)
    if damage == "gone":
        path.unlink()
    else:
        data[100] ^= 1
        path.write_bytes(data if damage == "bit" else data[:-1])
    with pytest.raises(DataflowError, match=published[0].path):
        kernel_store.install(store.objects, published[:1])
    assert not ready.exists() or not list(ready.iterdir())


def test_a_kernel_for_another_machine_is_refused(store: Store, published: tuple[KernelRef, ...], ready: Path) -> None:
    other = next(t for t in TARGETS if t != worker().name)
    with pytest.raises(KernelRefused, match=f"is for {other}, and this worker is {worker().name}"):
        kernel_store.install(store.objects, [replace(published[0], target=other)])


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"}, {"name": 1}, {"digest": "0" * 63}, {"sha256": "g" * 64}, {"bytes": 0}, {"bytes": 1 << 40},
        {"bytes": True}, {"path": "points/x"}, {"sha256": "0" * 64}, {"target": "../.."}, {"mac": None}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_a_kernel_is_refused(published: tuple[KernelRef, ...], change: dict[str, Any]) -> None:
    with pytest.raises(KernelRefused):
        KernelRef.from_dict(published[0].to_dict() | change)


@pytest.mark.parametrize("fields", [None, [], "x", {}])
def test_no_kernel_at_all(fields: Any) -> None:
    with pytest.raises(KernelRefused, match="malformed kernel reference"):
        KernelRef.from_dict(fields)


def test_signed_kernels(store: Store, here: Target, request: pytest.FixtureRequest) -> None:
    signer = Hmac()
    plain = kernel_store.publish(store.objects, compiled(store), here)
    refs = kernel_store.publish(store.objects, compiled(store), here, signer)
    assert [r.path for r in refs] == [r.path for r in plain]
    assert signer.signed == len(refs)
    # A later query without the key passes the signature on; with it, nothing is signed again.
    assert kernel_store.publish(Store(store.url).objects, compiled(store), here) == refs
    assert kernel_store.publish(Store(store.url).objects, compiled(store), here, signer) == refs
    assert signer.signed == len(refs)
    assert all(k.signed for k in kernel_store.listed(store.objects))
    ready: Path = request.getfixturevalue("ready")
    kernel_store.install(store.objects, refs, signer)
    assert len(list(ready.iterdir())) == len(refs)


def test_what_nobody_vouches_for_is_refused(store: Store, here: Target, request: pytest.FixtureRequest) -> None:
    signer = Hmac()
    refs = kernel_store.publish(store.objects, compiled(store), here, signer)
    ready: Path = request.getfixturevalue("ready")
    # One kernel's signature is not another's, though both are known to the signer.
    for bad in (replace(refs[0], mac=""), replace(refs[0], mac=refs[1].mac), replace(refs[0], mac="0" * 64)):
        with pytest.raises(KernelRefused, match=f"{refs[0].path} has no valid signature"):
            kernel_store.install(store.objects, [bad], signer)
    with pytest.raises(KernelRefused, match="has no valid signature"):
        kernel_store.install(store.objects, refs, Hmac("another key"))
    assert not ready.exists() or not list(ready.iterdir())


def test_a_worker_with_a_key(store: Store, here: Target, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From end to end in one process: what the query signs the worker runs, and nothing else."""
    expected = store.query(METRIC, progress=False)

    def work(payload: bytes) -> Reply:
        with pytest.MonkeyPatch.context() as inside:
            inside.setenv(cache.MODE_VARIABLE, "ready")
            inside.setenv(cache.CACHE_VARIABLE, str(tmp_path / "worker"))
            inside.setattr("dataflow.kernels.compile._loaded", {})
            inside.setattr("runtime.query.task.task._known", OrderedDict())
            inside.setattr("runtime.fleet.worker.signer_of_environment", Hmac)
            return Reply(200, json.dumps(answer(json.loads(payload))).encode())

    fleet = Fleet(work, Rules(base=0.001), target=here)
    with pytest.raises(QueryError, match=r"KernelRefused: the kernel kernels/.* has no valid sign.*`export \S+KEY=k`"):
        store.query(METRIC, executor=fleet, progress=False)
    monkeypatch.setattr("runtime.aws.kms.signer_of_environment", lambda access: Hmac())
    assert store.query(METRIC, executor=fleet, progress=False).proof.result == expected.proof.result
    assert list((tmp_path / "worker" / "kernels").iterdir())


def test_another_key_signs_anew(store: Store, here: Target, request: pytest.FixtureRequest) -> None:
    """A deployment that was made anew has another key: signatures by the first are no reason not to sign."""
    old, new = Hmac("old"), Hmac("new")
    first = kernel_store.publish(store.objects, compiled(store), here, old)
    again = Store(store.url).objects
    refs = kernel_store.publish(again, compiled(store), here, new)
    assert [r.path for r in refs] == [r.path for r in first]
    assert new.signed == len(refs)
    # Both are there, and each finds its own; who has no key passes the last on.
    assert kernel_store.publish(Store(store.url).objects, compiled(store), here, old) == first
    assert (old.signed, new.signed) == (len(first), len(refs))
    for info in list(again.list("kernels/")):
        if info.path.endswith(".mac"):
            mine = new.verify(kernel_store.signed_message(info.path.rpartition("-")[0] + ".so"), read(again, info.path))
            os.utime(Path(store.url) / info.path, (2e9 if mine else 1e9,) * 2)
    assert kernel_store.publish(Store(store.url).objects, compiled(store), here) == refs
    ready: Path = request.getfixturevalue("ready")
    kernel_store.install(store.objects, refs, new)
    assert len(list(ready.iterdir())) == len(refs)


def read(objects: Any, path: str) -> str:
    return str(objects.read(path, 0, objects.size(path)), "ascii")


def test_a_planted_signature_changes_nothing(store: Store, here: Target) -> None:
    """Neither one that is none, nor one that is too long to be one, nor one of a kernel that is not there."""
    signer = Hmac()
    own = kernel_store.publish(store.objects, compiled(store), here)
    fresh = Store(store.url)
    for n, ref in enumerate(own):
        text = b"x" * 100_000 if n else b"nonsense"
        fresh.objects.put(f"{ref.path[:-3]}-{'0' * 16}.mac", text)
        fresh.objects.put(f"{ref.path.replace(ref.sha256, '1' * 64)[:-3]}-{'0' * 16}.mac", b"nonsense")
    assert [r.path for r in kernel_store.publish(Store(store.url).objects, compiled(store), here)] == [
        r.path for r in own
    ]
    refs = kernel_store.publish(fresh.objects, compiled(store), here, signer)
    assert [r.path for r in refs] == [r.path for r in own]
    assert all(signer.verify(kernel_store.signed_message(r.path), r.mac) for r in refs)


def test_nothing_is_left_of_a_kernel_that_cannot_be_kept(
    store: Store, published: tuple[KernelRef, ...], ready: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is this worker's trouble, not the request's: it is raised, for another worker may have room."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        kernel_store.install(store.objects, published)
    assert not list(ready.iterdir())


def test_a_kernel_of_somebody_is_never_signed(store: Store, here: Target) -> None:
    """What lies in the store without a signature may be anybody's: the signer's own is put beside it."""
    signer = Hmac()
    own = kernel_store.publish(store.objects, compiled(store), here)
    planted = b"\x7fELF not a kernel"
    sha256 = hashlib.sha256(planted).hexdigest()
    fresh = Store(store.url)
    for ref in own:
        fresh.objects.delete(ref.path)
        fresh.objects.put(ref.path.replace(ref.sha256, sha256), planted)
    refs = kernel_store.publish(fresh.objects, compiled(store), here, signer)
    assert [r.sha256 for r in refs] == [r.sha256 for r in own]
    assert all(signer.verify(kernel_store.signed_message(r.path), r.mac) for r in refs)
    assert [k.signed for k in kernel_store.listed(fresh.objects) if k.sha256 == sha256] == [False] * len(own)


def test_one_that_compiles_nothing_publishes_nothing(store: Store, ready: Path) -> None:
    with pytest.raises(cache.KernelMissing, match="ANTFOLD_KERNELS=ready compiles none"):
        kernel_store.publish(store.objects, compiled(store), worker())


def test_a_target_that_cannot_be_built(store: Store, here: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(target: Target) -> list[str]:
        raise TargetUnavailable("kernels for arm64 cannot be linked")

    monkeypatch.setattr(kernel_store, "_published", type(kernel_store._published)())
    monkeypatch.setattr("operators.compiler.link.linker", none)
    monkeypatch.setattr(cache, "cache_folder", lambda: Path(store.url))
    with pytest.raises(TargetUnavailable, match="arm64 cannot be linked"):
        store.query(METRIC, executor=Fleet(lambda payload: pytest.fail("asked"), target=TARGETS["arm64"]))


# ---- on AWS


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield


def test_a_key_of_kms(account: None) -> None:
    kms = boto3.client("kms")
    keys = [kms.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["KeyId"] for _ in "12"]
    signer, other = (KmsSigner(key) for key in keys)
    data = b"x" * 10_000
    mac = signer.sign(data)
    assert mac == signer.sign(data)
    assert signer.verify(data, mac)
    assert not signer.verify(data + b"x", mac)
    assert not other.verify(data, mac)
    assert not any(signer.verify(data, bad) for bad in ("", "no base64!", mac[:-4], other.sign(data)))
    with pytest.raises(DataflowError, match="sign with the key no-such-key"):
        KmsSigner("no-such-key").sign(data)


def test_the_machine_of_a_function(account: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def configured(given: Any) -> None:
        class Double:
            def get_function_configuration(self, FunctionName: str) -> Any:  # noqa: N803
                if isinstance(given, str):
                    from botocore.exceptions import ClientError

                    answer = {"Error": {"Code": given}, "ResponseMetadata": {"HTTPStatusCode": 403}}
                    raise ClientError(answer, "GetFunctionConfiguration")
                return given

        target_of.cache_clear()
        monkeypatch.setattr("runtime.aws.client._make", lambda *args: Double())

    for given, name in (
        ({"Architectures": ["arm64"]}, "arm64"),
        ({"Architectures": ["x86_64"]}, "x86_64"),
        ({}, "x86_64"),
    ):
        configured(given)
        assert target_of("f", Access()) is TARGETS[name]
    configured("AccessDeniedException")
    with pytest.raises(QueryError, match=r"allow lambda:GetFunctionConfiguration on f, or use Fleet\(invoker\('f'\)"):
        target_of("f", Access())
    configured("ResourceNotFoundException")
    with pytest.raises(QueryError, match="there is no function f on Lambda"):
        target_of("f", Access())
    target_of.cache_clear()
