"""Loads metrics from files: Python that defines them at top level, or their JSON form."""

from __future__ import annotations

import builtins
import hashlib
import importlib.util
import inspect
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import dataflow
from dataflow import Agg, Expr
from dataflow.language.line_numbers import line_of, noting_lines
from dataflow.language.stream import Grouped, Stream
from dataflow.language.triggers import Trigger
from dataflow.values.mistaken import without_call
from operators.errors import DataflowError
from operators.files import read_text
from operators.nearest import meant, nearest

_STEP = re.compile(r"step (\d+) \(")
_IMPORTED = re.compile(r"cannot import name '(\w+)' from '([\w.]+)'")
_UNCALLED = re.compile(r"'(function|method|builtin_function_or_method)'")
_OPTION = re.compile(r"([\w.]+)\(\) got an unexpected keyword argument '(\w+)'")


class MetricFileError(DataflowError):
    """A metric file that is missing or invalid, or does not define the metric."""


def metric_named(name: str) -> Stream | str:
    """The metric of a file, or the name itself if it names a published query, for ``Store.query``.

    A name that ends in .py or .json or contains ':', '/' or a backslash is a file, existing or not; no published query
    can have such a name.
    """
    is_file = name.endswith((".py", ".json")) or ":" in name or "/" in name or "\\" in name
    return load_metric(name) if is_file else name


@contextmanager
def located(name: str, metric: Stream | str) -> Iterator[None]:
    """Errors of a step within the block name the metric's file, and the line where known."""
    try:
        yield
    except DataflowError as e:
        step = _STEP.match(str(e))
        if isinstance(metric, str) or step is None:
            raise
        number = int(step[1])
        line = line_of(metric.steps[number - 1]) if number <= len(metric.steps) else None
        place = name if line is None else f"{_file_of(name)}:{line}"
        raise MetricFileError(f"{place}: {e}") from e


def _file_of(name: str) -> Path:
    return Path(name if Path(name).is_file() else name.rpartition(":")[0])


def load_metric(name: str) -> Stream:
    """The metric ``file.py:name``, ``file.py`` (if it defines only one) or ``file.json``.

    A Python file is executed without its folder on the import path; no bytecode is written.
    MetricFileError names the file and line.
    """
    path, metric = Path(name), ""
    if not path.is_file():
        before, colon, after = name.rpartition(":")
        if colon:
            path, metric = Path(before), after
    if path.suffix == ".json" and not metric:
        return _from_json(path)
    if path.suffix != ".py":
        raise MetricFileError(_no_metric(name, path, metric))
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "not a regular file"
        raise MetricFileError(f"{path} is {kind}: give a metric as file.py:name, or a JSON file")
    if not path.is_file():
        raise MetricFileError(f"there is no file {path}; {_near_file(path)} a metric as file.py:name, or a JSON file")
    return _choose(path, metric, _run(path))


def load_trigger(name: str) -> Trigger:
    """The trigger ``file.py:name``, a ``df.trigger(...)`` at top level; MetricFileError if there is none."""
    file, _, wanted = name.rpartition(":")
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        known = f"there is no file {path}" if path.suffix == ".py" else f"'{name}' names no trigger"
        raise MetricFileError(f"{known}: give a trigger as file.py:name, with name = df.trigger(...) in the file")
    found = vars(_run(path))
    value, triggers = found.get(wanted), [n for n, v in found.items() if isinstance(v, Trigger)]
    if isinstance(value, Trigger):
        return value
    if value is not None:
        raise MetricFileError(f"{path}: {wanted} is {_kind_of(value)}, not a trigger: define it by df.trigger(...)")
    listed = ", ".join(triggers) or "none"
    raise MetricFileError(f"{path} has no trigger {wanted!r}; {meant(wanted, triggers, 'its')} triggers: {listed}")


def _no_metric(name: str, path: Path, metric: str) -> str:
    """Why a name that is no Python file cannot be that of a metric."""
    python = path.with_name(f"{path.name}.py")
    if metric and python.is_file():
        return f"there is no file {path}; did you mean '{python}:{metric}'?"
    whole = Path(name)
    kind = " a folder," if whole.is_dir() else " a file, but" if whole.is_file() else ""
    order = "; the store stands before the metric" if whole.is_dir() else ""
    return f"'{name}' is{kind} not a metric: give a Python file as file.py:name, or a JSON file{order}"


def hint_for_query(name: str) -> str:
    """What was probably meant by the name of a published query that there is not, after a semicolon; else nothing."""
    file, dot, metric = name.rpartition(".")
    if dot and Path(f"{file}.py").is_file():
        return f"; did you mean '{file}.py:{metric}'?"
    return f"; {name} is a file, but not a metric" if Path(name).is_file() else ""


def _from_json(path: Path) -> Stream:
    try:
        return dataflow.from_json(read_text(path))
    except (OSError, UnicodeDecodeError) as e:
        raise MetricFileError(f"cannot read {path}: {getattr(e, 'strerror', None) or e}") from e
    except DataflowError as e:
        raise MetricFileError(f"{path}: {e}") from e


def _run(path: Path) -> ModuleType:
    try:
        path.read_bytes()
    except OSError as e:
        raise MetricFileError(f"cannot read {path}: {e.strerror}") from e
    label = "antfold_metrics_" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.modules[label] = module  # dataclasses look up their module
    try:
        with noting_lines(str(path)):
            spec.loader.exec_module(module)
    except SyntaxError as e:
        where = path if e.filename is None or _is_file(e.filename, path) else e.filename
        raise MetricFileError(f"{where}:{e.lineno or 1}: {e.msg}") from e
    except DataflowError as e:
        raise MetricFileError(f"{path}:{_line(path, e)}: {e}") from e
    except ModuleNotFoundError as e:
        raise MetricFileError(
            f"{path}:{_line(path, e)}: {e}; a metric file can import installed packages, not files beside it"
        ) from e
    except (Exception, SystemExit) as e:
        hint = hint_for(e, vars(module))
        raise MetricFileError(f"{path}:{_line(path, e)}: {type(e).__name__}: {e}{hint}") from e
    finally:
        sys.dont_write_bytecode = writes
        del sys.modules[label]
    return module


def _near_file(path: Path) -> str:
    try:
        found = nearest(path.name, (p.name for p in path.parent.iterdir() if p.suffix in (".py", ".json")))
    except OSError:
        found = None
    return "give" if found is None else f"did you mean '{path.parent / found}'? Give"


def _is_file(name: str, path: Path) -> bool:
    """Whether Python's ``name`` (always absolute) is the file at ``path``."""
    return os.path.abspath(name) == os.path.abspath(path)


def _line(path: Path, error: BaseException) -> int:
    """The last line of this file in the error's traceback."""
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if _is_file(f.filename, path)]
    return next((n for n in reversed(lines) if n), 1)


def hint_for(error: BaseException, names: Mapping[str, object]) -> str:
    """``; did you mean ...`` for an unknown name, attribute or option; else an empty text."""
    text = str(error)
    known: Iterable[str] = ()
    wanted: object = getattr(error, "name", None)
    if "did you mean" in text.lower():
        return ""
    if isinstance(error, AttributeError) and (call := without_call(error.obj)) is not None:
        return f"; {call}"
    if isinstance(error, TypeError) and _UNCALLED.search(text):
        return "; was a function left without its parentheses? Write df.count(), not df.count"
    if isinstance(error, NameError):
        known = [*names, *vars(builtins)]
    elif isinstance(error, AttributeError) and error.obj is not None:
        known = [n for n in dir(error.obj) if not n.startswith("_")]
    elif isinstance(error, ImportError) and (found := _IMPORTED.search(text)):
        wanted, known = found[1], getattr(sys.modules.get(found[2]), "__all__", ())
    elif isinstance(error, TypeError) and (found := _OPTION.search(text)):
        wanted, known = found[2], _options_of(found[1])
    hint = meant(wanted, known).strip() if wanted else ""
    return f"; {hint}" if hint else ""


def _options_of(name: str) -> list[str]:
    """The options of a function or method of the DSL, by its qualified name."""
    owner, _, method = name.rpartition(".")
    places = [getattr(dataflow, n) for n in dataflow.__all__]
    for place in places:
        found = getattr(place, method, None) if owner and isinstance(place, type) and owner in _bases(place) else place
        if callable(found) and getattr(found, "__qualname__", "") == name:
            return list(inspect.signature(found).parameters)
    return []


def _bases(cls: type) -> list[str]:
    return [c.__qualname__ for c in cls.__mro__]


def _choose(path: Path, name: str, module: ModuleType) -> Stream:
    streams = {n: v for n, v in vars(module).items() if isinstance(v, Stream) and not n.startswith("_")}
    ends = _ends(streams)
    listed = ", ".join(ends) or "none"
    if not name:
        if len(ends) == 1:
            return streams[ends[0]]
        raise MetricFileError(f"{path} defines {len(ends)} metrics ({listed}); choose one: {path}:name")
    value = vars(module).get(name)
    if isinstance(value, Stream):
        return value
    if isinstance(value, Grouped):
        raise MetricFileError(f"{path}: {name} groups rows but does not aggregate them; end it in .agg(...)")
    if value is not None:
        raise MetricFileError(f"{path}: {name} is {_kind_of(value)}, not a metric; the file's metrics: {listed}")
    raise MetricFileError(f"{path} has no metric {name!r}; {meant(name, streams, 'its')} metrics: {listed}")


def _kind_of(value: object) -> str:
    if isinstance(value, Expr):
        return "an expression"
    if isinstance(value, Agg):
        return "an aggregate"
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _ends(streams: dict[str, Stream]) -> list[str]:
    """The metrics that no other metric extends and that have at least one step after the source."""

    def grown(a: Stream) -> bool:
        n = len(a.steps)
        return any(
            len(b.steps) > n and all(x is y for x, y in zip(a.steps, b.steps[:n], strict=True))
            for b in streams.values()
        )

    return [name for name, s in streams.items() if len(s.steps) > 1 and not grown(s)]
