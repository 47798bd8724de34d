"""Modules and calls that are forbidden in the product's source: above all those by which data could be run as code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataflow", "operators", "runtime", "deploy")
MODULES = {"pickle", "_pickle", "cPickle", "pickletools", "marshal", "shelve", "cloudpickle", "dill", "joblib", "code"}
CALLS = {"eval", "exec", "compile", "__import__", "execfile", "allow_pickle"}

# Single files, each with what it may do and why.
ALLOWED: dict[str, frozenset[str]] = {
    # Kernels are generated from a validated graph; this is the one place that runs generated source.
    "dataflow/kernels/compile.py": frozenset({"exec", "compile"}),
}


def violations(source: str, name: str) -> Iterator[tuple[int, str]]:
    """The (line, forbidden thing) pairs of one file."""
    for node in ast.walk(ast.parse(source, name)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in MODULES:
                    yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = (node.module or "").split(".")[0]
            if node.level == 0 and module in MODULES:
                yield node.lineno, module
            if module == "builtins":
                for alias in node.names:
                    if alias.name in CALLS:
                        yield node.lineno, alias.name
        elif isinstance(node, ast.Name) and node.id in CALLS:
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "builtins":
            if node.attr in CALLS:
                yield node.lineno, node.attr
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "queue.SimpleQueue":
            yield node.lineno, "queue.SimpleQueue, which waits for ever at tiny timeouts before Python 3.13: use Queue"
        elif isinstance(node, ast.Call):
            if ast.unparse(node.func) == "np.unique" and not node.keywords:
                yield node.lineno, "np.unique without options: use operators.distinct_values.distinct, which says why"
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and not (
                    isinstance(keyword.value, ast.Constant) and keyword.value.value is False
                ):
                    yield node.lineno, "allow_pickle"
            function = node.func
            if isinstance(function, ast.Attribute) and function.attr == "import_module" and node.args:
                first = node.args[0]
                if isinstance(first, ast.Constant) and str(first.value).split(".")[0] in MODULES:
                    yield node.lineno, str(first.value)


def _sources() -> list[str]:
    return sorted(str(p.relative_to(ROOT)) for package in PACKAGES for p in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("name", _sources())
def test_nothing_that_executes_data(name: str) -> None:
    found = [
        f"{name}:{line}: {what}"
        for line, what in violations((ROOT / name).read_text(encoding="utf-8"), name)
        if what not in ALLOWED.get(name, frozenset())
    ]
    assert not found


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "import pickle as p",
        "from marshal import loads",
        "import dill.source",
        "eval('1')",
        "f = exec",
        "compile('1', 'x', 'eval')",
        "__import__('os')",
        "import builtins\nbuiltins.eval('1')",
        "from builtins import exec as e",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
        "import importlib\nimportlib.import_module('pickle')",
        "np.unique(x)",
        "import queue\nreplies: queue.SimpleQueue[int] = queue.SimpleQueue()",
    ],
)
def test_the_lint_sees(source: str) -> None:
    assert list(violations(source, "x.py"))


@pytest.mark.parametrize(
    "source",
    [
        "import re\nre.compile('a')",
        "np.load('x', allow_pickle=False)",
        "from .pickle import x",
        "spec.loader.exec_module(m)",
        "np.unique(x, return_index=True)",
    ],
)
def test_the_lint_lets_pass(source: str) -> None:
    assert not list(violations(source, "x.py"))


# Spelled in pieces, so that this file does not name what it forbids.
_LEFT_OVER = re.compile(
    r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|\bNotImplemented" + r"Error|/ho" + r"me/|/ro" + r"ot/|/wo" + r"rk/"
)


def _texts() -> list[str]:
    top = [ROOT / n for n in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "pyproject.toml", ".ci/run")]
    found = [p for p in top if p.is_file()]
    for folder in (*PACKAGES, "tests"):
        found += [p for p in (ROOT / folder).rglob("*") if p.suffix in {".py", ".md", ".json", ".toml", ".sql"}]
    return sorted(str(p.relative_to(ROOT)) for p in found if "__pycache__" not in p.parts)


@pytest.mark.parametrize("name", _texts())
def test_nothing_left_over(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    assert [f"{name}:{i}: {line.strip()}" for i, line in enumerate(lines, 1) if _LEFT_OVER.search(line)] == []
