"""The servers of the campaign ``soak``: S3 and DynamoDB on loopback ports, killed, frozen and throttled.

Where they are not installed (the extra ``stack``) there are none, and the campaign is one of a folder.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

from tests.stack import servers

_WHILE = 20.0
"""Seconds that a disturbance takes at most: less than requests are repeated for."""


class Servers:
    """SeaweedFS and ministack, each behind a proxy; ``url`` is that of a store, None without them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._weed = ExitStack()
        self._proxies: list[subprocess.Popen[bytes]] = []
        self._calmed = threading.Event()
        self.url: str | None = None

    def __enter__(self) -> Servers:
        if find_spec("ministack") is None:
            return self
        for name in ("ministack", "weed"):
            (self._folder / name).mkdir()
        dynamodb = self._stack.enter_context(servers.ministack(self._folder / "ministack"))
        self._ports = servers.free_ports(4)
        s3 = self._start_weed()
        before = dict(os.environ)
        self._stack.callback(_restore, before)
        os.environ.update(servers.environment(dynamodb))
        os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = self._behind(dynamodb)
        os.environ["AWS_ENDPOINT_URL_S3"] = self._behind(s3)
        import boto3
        from botocore.config import Config

        boto3.client("s3", config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket="soak")
        self.url = "s3://soak/store?table=antfold-soak"
        return self

    def __exit__(self, *_: object) -> None:
        for proxy in self._proxies:
            assert proxy.stdin is not None
            proxy.stdin.close()
            proxy.wait(10)
        self._weed.close()
        self._stack.close()

    def _start_weed(self) -> str:
        return self._weed.enter_context(servers.seaweed(self._folder / "weed", self._ports, abruptly=True))

    def _behind(self, endpoint: str) -> str:
        """The endpoint of a new proxy before another one."""
        (port,) = servers.free_ports(1)
        target = endpoint.rpartition(":")[2]
        command = [sys.executable, "-m", "tests.campaigns.soak_proxy", str(port), target]
        log = self._folder / f"proxy-{port}.log"
        with log.open("wb") as out:
            self._proxies.append(subprocess.Popen(command, stdin=subprocess.PIPE, stderr=out))
        servers.await_port(self._proxies[-1], port, log)
        return f"http://127.0.0.1:{port}"

    def disturb(self, rng: random.Random) -> None:
        """Disturb one of them for a while, then leave them in peace for as long again."""
        how = rng.choice(["freeze", "throttle", "cut", "kill"])
        seconds = rng.uniform(1, _WHILE)
        if how == "kill":
            self._weed.close()
            self._calmed.wait(seconds / 4)
            self._start_weed()
        else:
            proxy = rng.choice(self._proxies)
            self._say(proxy, how)
            self._calmed.wait(seconds)
            self._say(proxy, "pass")
        self._calmed.wait(seconds)

    def calm(self) -> None:
        """Let everything pass, and end a disturbance."""
        self._calmed.set()
        for proxy in self._proxies:
            self._say(proxy, "pass")

    def _say(self, proxy: subprocess.Popen[bytes], mode: str) -> None:
        assert proxy.stdin is not None
        proxy.stdin.write(f"{mode}\n".encode())
        proxy.stdin.flush()


def _restore(before: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(before)
