"""The examples of operators/AGGREGATES.md, run as they are written there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import operators
from operators import registry
from operators.aggregates import REGISTRY

PAGE = Path(operators.__path__[0]) / "AGGREGATES.md"


def test_examples(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(registry, "_own", {})
    examples: dict[str, Any] = {"__name__": "readme"}
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 5
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), examples)
    printed = capsys.readouterr().out
    assert printed.startswith("plain_sum over values of type float64 breaks the law of split")
    quoted = re.sub(r"\s+", " ", re.findall(r"It says `([^`]+)`", PAGE.read_text())[0])
    assert quoted in printed
    assert examples["report"].name == "comfort"
    assert registry.is_registered("comfort")


def test_every_aggregate_is_described() -> None:
    text = PAGE.read_text()
    few = {"count", "count_distinct", "min", "max", "first", "last", "any_true", "all_true"}
    timing = {"duration", "known_time", "unknown_time", "share_of_time"}
    for name in {n for n, _ in REGISTRY} - few - timing:
        assert f"`{name}`" in text
