"""Functions under AWS's own runtime: ``awslambdaric`` in processes of ``aws-lambda-rie``, behind a router.

The emulator takes one call at a time, so there are several. It is a program in the wheel of ``aws-sam-cli``, whose
dependencies pin other versions of what this project uses: the wheel alone is downloaded and only the program
extracted.
"""

from __future__ import annotations

import http.client
import json
import platform
import queue
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from runtime.fleet.outcomes import Reply
from tests.stack.servers import free_ports, running

_PATH = "/2015-03-31/functions/function/invocations"
_PROGRAM = f"samcli/local/rapid/aws-lambda-rie-{'arm64' if platform.machine() == 'aarch64' else 'x86_64'}"


def program(folder: Path) -> Path:
    """The emulator; the test is skipped where the wheel cannot be had."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "aws-sam-cli", "-d", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    wheels = list(folder.glob("aws_sam_cli-*.whl"))
    if done.returncode or not wheels:
        pytest.skip(f"aws-lambda-rie is not available: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        path = Path(wheel.extract(_PROGRAM, folder))
    path.chmod(0o755)
    return path


@dataclass(frozen=True)
class Function:
    """A function in a pool of processes; ``invoke`` waits for one that is free."""

    ports: queue.Queue[int]

    def invoke(self, payload: bytes, path: str = _PATH) -> Reply:
        """What Lambda's synchronous call gives.

        The emulator says in other places than Lambda that a function failed: by its status, or by a text for a
        time-out. Here that becomes Lambda's 200 with a function error.
        """
        port = self.ports.get()
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("POST", path, payload)
            answer = connection.getresponse()
            body = answer.read()
            connection.close()
        except (OSError, http.client.HTTPException) as error:
            return Reply(0, error=str(error))
        finally:
            self.ports.put(port)
        if body.startswith(b"Task timed out"):
            return Reply(200, json.dumps({"errorMessage": body.decode()}).encode(), "Unhandled")
        reply = json.loads(body)
        failed = answer.status == 502 or (isinstance(reply, dict) and "errorType" in reply)
        return Reply(200 if failed else answer.status, body, "Unhandled" if failed else "")


@contextmanager
def function(
    emulator: Path, folder: Path, handler: str, variables: Mapping[str, str], size: int = 1, seconds: int = 60
) -> Iterator[Function]:
    """``handler`` ("module.name", found by ``PYTHONPATH``) in ``size`` processes; a call takes at most ``seconds``."""
    ports: queue.Queue[int] = queue.Queue()
    with ExitStack() as stack:
        for n in range(size):
            outside, inside = free_ports(2)
            command = [
                str(emulator), "--runtime-interface-emulator-address", f"127.0.0.1:{outside}",
                "--runtime-api-address", f"127.0.0.1:{inside}", sys.executable, "-m", "awslambdaric", handler,
            ]  # fmt: skip
            own = folder / str(n)
            own.mkdir()
            environment = {
                "AWS_LAMBDA_FUNCTION_NAME": "antfold",
                "AWS_LAMBDA_FUNCTION_TIMEOUT": str(seconds),
                **variables,
            }
            stack.enter_context(running(command, own, outside, **environment))
            ports.put(outside)
        yield Function(ports)
