"""``dataflow kernels``: the workers' kernels as a table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from runtime import Store

DIGEST, SHA256 = "ab" * 20, "cd" * 32


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    store.ingest("s", {"k": ["a"], "t": [1]}, key="k", time="t", unit="s", progress=False)
    return store


def test_no_kernels_yet(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", store.url]) == 0
    assert capsys.readouterr().out.startswith("no kernels yet")
    assert main(["kernels", store.url, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"kernels": []}


def test_kernels(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    for target, name in (("x86_64", "step"), ("arm64", "finish")):
        store.objects.put(f"kernels/{target}/{name}-{DIGEST}/{SHA256}.so", b"12345")
    store.objects.put(f"kernels/arm64/finish-{DIGEST}/{SHA256}-{'0' * 16}.mac", b"code")
    store.objects.put("kernels/what-else", b"no kernel")
    assert main(["kernels", store.url, "--format", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)["kernels"]
    alike = {"digest": DIGEST, "bytes": 5, "sha256": SHA256}
    assert [{k: v for k, v in found.items() if k != "when"} for found in listed] == [
        {"name": "finish", "target": "arm64", "signed": True, **alike},
        {"name": "step", "target": "x86_64", "signed": False, **alike},
    ]
    assert all(found["when"].startswith("20") for found in listed)
    assert main(["kernels", store.url]) == 0
    shown = capsys.readouterr().out
    assert all(text in shown for text in ("finish", "arm64", "x86_64", DIGEST, "true", "false"))


def test_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernels", str(tmp_path / "nothing")]) == 1
    assert "Traceback" not in capsys.readouterr().err
