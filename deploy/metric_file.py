"""Metrics from files: plain Python that defines them at its top level, or their JSON form."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

import dataflow
from dataflow.stream import Grouped, Stream
from operators.errors import DataflowError
from operators.files import read_text


class MetricFileError(DataflowError):
    """A metric file that is missing, wrong, or does not have the metric."""


def metric_named(name: str) -> Stream | str:
    """The metric of a file, or the name itself if it is that of a published query, for ``Store.query``.

    What ends in .py or .json, or has a ':' or '/' in it, is a file, whether it exists or not; no query can be so named.
    """
    is_file = name.endswith((".py", ".json")) or ":" in name or "/" in name or "\\" in name
    return load_metric(name) if is_file else name


def load_metric(name: str) -> Stream:
    """The metric called ``file.py:name``, ``file.py`` (if it defines just one) or ``file.json``.

    A Python file is run, without its folder on the import path and without leaving compiled files behind.
    MetricFileError says in which file and line what is wrong.
    """
    path, metric = Path(name), ""
    if not path.is_file():
        before, colon, after = name.rpartition(":")
        if colon:
            path, metric = Path(before), after
    if path.suffix == ".json" and not metric:
        return _from_json(path)
    if path.suffix != ".py":
        raise MetricFileError(f"'{name}' is not a metric: give a Python file as file.py:name, or a JSON file")
    if not path.is_file():
        raise MetricFileError(f"there is no file {path}; a metric is given as file.py:name, or as a JSON file")
    return _choose(path, metric, _run(path))


def _from_json(path: Path) -> Stream:
    try:
        return dataflow.from_json(read_text(path))
    except (OSError, UnicodeDecodeError) as e:
        raise MetricFileError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    except DataflowError as e:
        raise MetricFileError(f"{path}: {e}") from e


def _run(path: Path) -> ModuleType:
    label = "antfold_metrics_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[label] = module  # dataclasses and the like look their module up
    try:
        spec.loader.exec_module(module)
    except SyntaxError as e:
        raise MetricFileError(f"{e.filename or path}:{e.lineno or 1}: {e.msg}") from e
    except DataflowError as e:
        raise MetricFileError(f"{path}:{_line(path, e)}: {e}") from e
    except ModuleNotFoundError as e:
        raise MetricFileError(
            f"{path}:{_line(path, e)}: {e}; a metric file can import what is installed, not the files beside it"
        ) from e
    except (Exception, SystemExit) as e:
        raise MetricFileError(f"{path}:{_line(path, e)}: {type(e).__name__}: {e}") from e
    finally:
        sys.dont_write_bytecode = writes
        del sys.modules[label]
    return module


def _line(path: Path, error: BaseException) -> int:
    """The last line of the file itself that led to the error."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return next((n for n in reversed(lines) if n), 1)


def _choose(path: Path, name: str, module: ModuleType) -> Stream:
    streams = {n: v for n, v in vars(module).items() if isinstance(v, Stream) and not n.startswith("_")}
    ends = _ends(streams)
    listed = ", ".join(ends) or "none"
    if not name:
        if len(ends) == 1:
            return streams[ends[0]]
        raise MetricFileError(f"{path} defines {len(ends)} metrics ({listed}); say which: {path}:name")
    value = vars(module).get(name)
    if isinstance(value, Stream):
        return value
    if isinstance(value, Grouped):
        raise MetricFileError(f"{path}: {name} groups rows but does not aggregate them; end it in .agg(...)")
    if value is not None:
        raise MetricFileError(f"{path}: {name} is a {type(value).__name__}, not a metric; the file's metrics: {listed}")
    raise MetricFileError(f"{path} has no metric '{name}'; its metrics: {listed}")


def _ends(streams: dict[str, Stream]) -> list[str]:
    """The names of those that no other of them is built upon and that are more than a bare source."""

    def grown(a: Stream) -> bool:
        n = len(a.steps)
        return any(
            len(b.steps) > n and all(x is y for x, y in zip(a.steps, b.steps[:n], strict=True))
            for b in streams.values()
        )

    return [name for name, s in streams.items() if len(s.steps) > 1 and not grown(s)]
