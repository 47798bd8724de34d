"""Promises of one sentence each, on drawn inputs.

CSV neutralises formulas; log lines cannot be broken or forged; a state merged twice or not at all is detected; no
format executes code; every record read is committed, rejected or dropped; memory stays bounded.
"""

from __future__ import annotations

import contextlib
import csv
import io
import json
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import dataflow as df
from deploy.handlers.logs import Invocation, described
from operators.errors import DataflowError
from operators.types import Type
from runtime import Store
from runtime.columns import Column, Dictionary
from runtime.display.export import csv_lines
from runtime.errors import IncompleteResult
from runtime.pointfile import PointFile
from runtime.published.definition import read
from runtime.query import execute
from runtime.query.merge.conclude import conclude
from runtime.query.plan import make_tasks as task_sizes
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task import state_bytes, task
from runtime.query.task.checkpoint import unpack
from tests.campaigns import Report
from tests.campaigns.apart import LARGE

Try = Callable[[random.Random, Path], str]
"""One try: what is wrong, or nothing."""

_ALPHABET = [*"=+-@\t\r\n\"',;| \0\x1b\x7f\x85\u2028\u202e\uff1d", *"aZ09.é"]


def run(budget: int, seed: int) -> Report:
    """Try ``budget`` inputs, the promises in turns; memory is measured in a large run, or once."""
    report, rng = Report(), random.Random(seed)
    tries: list[Try] = [_formulas, _log_lines, _counted, _twice, _no_code]
    with tempfile.TemporaryDirectory(prefix="antfold-claims-") as name:
        folder = Path(name)
        for number in range(budget):
            one = tries[number % len(tries)]
            report.count(one.__name__.strip("_").replace("_", " "))
            wrong = one(rng, folder)
            if wrong:
                report.failures.append(f"{one.__name__}: {wrong}")
        bombs = sorted(BOMBS) if budget >= LARGE else [rng.choice(["nested", "fewer keys"])]
        for bomb in bombs:
            report.count("bounded memory")
            wrong = _bomb(bomb, folder)
            if wrong:
                report.failures.append(wrong)
    return report


def _text(rng: random.Random, longest: int = 12) -> str:
    return "".join(rng.choice(_ALPHABET) for _ in range(rng.randrange(longest)))


def _formulas(rng: random.Random, folder: Path) -> str:
    texts = [_text(rng) for _ in range(5)]
    words = Dictionary.of(list(dict.fromkeys(texts)))
    codes = np.array([list(dict.fromkeys(texts)).index(t) for t in texts], np.int32)
    name = _text(rng) or "x"
    written = "".join(csv_lines({name: Column(Type.STRING, codes, None, words), "n": Column(Type.INT, codes + 1)}))
    found = list(csv.reader(io.StringIO(written, newline="")))
    given = [name, *texts]
    for text, row in zip(given, found, strict=True):
        cell = row[0]
        if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) or cell.removeprefix("'") != text.removeprefix("'"):
            return f"{text!r} became {cell!r}"
    return ""


def _log_lines(rng: random.Random, folder: Path) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        error: Exception = rng.choice([DataflowError, ValueError, KeyError])(_text(rng, 40))
        Invocation().log(_text(rng), name=_text(rng), **described(error))
    line = out.getvalue()
    if not line.endswith("\n") or any(not 0x20 <= ord(c) < 0x7F for c in line[:-1]):
        return f"the line {line!r} has control characters"
    json.loads(line)
    return ""


def _counted(rng: random.Random, folder: Path) -> str:
    """Records of which bytes are changed that are no structure: one line stays one record."""
    lines = []
    as_json = rng.random() < 0.5
    for i in range(rng.randrange(1, 30)):
        record = {"k": rng.choice("abc"), "t": 1_000 + i, "v": rng.choice([1.5, -2, 0, 7e9])}
        lines.append(json.dumps(record) if as_json else ",".join(map(str, record.values())))
    data = [bytearray(line.encode()) for line in lines]
    structure = b'{}[]"\\,:\n\r'
    for _ in range(rng.randrange(4)):
        line = rng.choice(data)
        at = rng.choice([i for i, c in enumerate(line) if c not in structure])
        line[at] = rng.choice([c for c in (*b"09e.-x ", 0, 0x80, 0xFF) if c not in structure])
    content = (b"" if as_json else b"k,t,v\n") + b"".join(bytes(line) + b"\n" for line in data)
    with tempfile.TemporaryDirectory(dir=folder) as name, Store(name, create=True) as store:
        try:
            report = store.ingest("s", io.BytesIO(content), key="k", time="t", unit="s", progress=False)
        except DataflowError:
            return ""
        (source,) = report.sources
        if source.status != "ingested":
            return "" if source.error else f"{content!r}: {source.status} without a reason"
        if source.rows_read != source.committed + source.rejected + source.dropped:
            return f"{content!r}: {source.rows_read} rows are not the sum of {source}"
        if source.rows_read != len(lines):
            return f"{content!r}: of {len(lines)} records {source.rows_read} were counted"
        rows = sum(f.rows for f in store.catalogue.snapshot("s").files)
        if rows != source.committed:
            return f"{content!r}: {source.committed} rows were committed, {rows} are there"
    return ""


_prepared: dict[Path, Any] = {}


def _parts(folder: Path) -> tuple[Any, list[Any], list[Any]]:
    if folder not in _prepared:
        store = Store(folder / "twice", create=True)
        n = 600
        points = {
            "k": [f"k{i % 40}" for i in range(n)],
            "t": [i * 200 for i in range(n)],
            "v": [i / 7 for i in range(n)],
        }
        store.ingest("s", points, key="k", time="t", unit="s", progress=False)
        steps = df.stream("s").group_by("k").agg(m=df.mean("v")).steps
        prepared = prepare(store.catalogue, Request(steps, {}, None, None))
        small, task_sizes._SMALL = task_sizes._SMALL, 100  # type: ignore[misc]
        tasks = make_tasks(prepared, store.url, 4)
        task_sizes._SMALL = small  # type: ignore[misc]
        partials = [task.run(t, store.open_file) for t in tasks]
        store.close()
        _prepared[folder] = prepared, tasks, partials
    found: tuple[Any, list[Any], list[Any]] = _prepared[folder]
    return found


def _twice(rng: random.Random, folder: Path) -> str:
    """Partial states of a query, some of them several times or not at all."""
    prepared, tasks, partials = _parts(folder)
    times = [rng.choice([0, 1, 1, 1, 2]) for _ in partials]
    given = [p for p, n in zip(partials, times, strict=True) for _ in range(n)]
    rng.shuffle(given)
    try:
        result = conclude(prepared, tasks, given, {})
    except IncompleteResult:
        return "" if times != [1] * len(times) else "all states, each once, were refused"
    if times != [1] * len(times):
        return f"states were merged {times} times: {result.proof.rows_scanned} rows"
    return ""


RAN = []


class _Evil:
    def __reduce__(self) -> Any:
        return exec, ("from tests.campaigns import claims; claims.RAN.append(1)",)


def _no_code(rng: random.Random, folder: Path) -> str:
    """Pickles where other bytes are expected, with checksums that are right."""
    evil = pickle.dumps(_Evil())
    objects = np.array([_Evil()], dtype=object)
    body = io.BytesIO()
    np.savez(body, keys=objects)
    head = json.dumps(
        {"task": "0.0", "request": "", "groups": 1, "coverage": {}, "kernels": [], "strings": []}
    ).encode()
    readers: list[Callable[[bytes], object]] = [
        lambda data: state_bytes.unpack(_resealed(b"ANTPART1", head, data), "0.0"),
        lambda data: unpack(_resealed(b"ANTSTAT1", head, data)),
        lambda data: state_bytes.unpack(data, "0.0"),
        lambda data: read(data, "q", 1, None),
        lambda data: df.from_json(data.decode("latin-1")),
        lambda data: PointFile.open(lambda offset, length: data[offset : offset + length], len(data), "f"),
        execute.run_payload,
    ]
    reader = rng.choice(readers)
    data = rng.choice([evil, body.getvalue(), evil + body.getvalue(), evil[: rng.randrange(len(evil))]])
    with contextlib.suppress(DataflowError):
        reader(data)
    return "a pickle was run" if RAN else ""


def _resealed(magic: bytes, head: bytes, arrays: bytes) -> bytes:
    import hashlib

    data = len(head).to_bytes(8, "little") + head + arrays
    return magic + hashlib.sha256(data).digest() + data


BOMBS = {
    "spaces": "gzip.compress(b' ' * (400 << 20))",
    "line": "b'{\"k\": \"' + b'a' * (300 << 20)",
    "nested": "b'{\"k\": ' + b'[' * (20 << 20)",
    "keys": "b'{' + b','.join(b'\"a%d\": 1' % i for i in range(400_000)) + b'}'",
    "fewer keys": "b'{' + b','.join(b'\"a%d\": 1' % i for i in range(40_000)) + b'}'",
    "zeros": "zstandard.compress(bytes(600 << 20))",
    "digits": "b'{\"k\": \"a\", \"t\": ' + b'9' * (50 << 20) + b'}'",
}
"""Inputs that are small, or cheap to write, and large to hold."""

MOST = 1_500
"""Megabytes that a process may take, the input itself (which a file would not hold in memory) aside."""

_BOMB = """
import gzip, resource, sys
import zstandard
from pathlib import Path
from operators.errors import DataflowError
from runtime import Store
data = {made}
path = Path(sys.argv[1]) / "bomb"
path.write_bytes(data)
size = len(data)
del data
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
try:
    with Store(Path(sys.argv[1]) / "store", create=True) as store:
        print([s.status for s in store.ingest("s", path, key="k", time="t", unit="s", progress=False).sources])
except DataflowError as error:
    print(str(error)[:200])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10) - before)
"""


def _bomb(name: str, folder: Path) -> str:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = [sys.executable, "-c", _BOMB.replace("{made}", BOMBS[name]), place]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        return f"the input {name} ended the process with status {done.returncode}: {done.stderr.strip()[-300:]}"
    grown = int(done.stdout.split()[-1])
    return f"the input {name} took {grown} MB" if grown > MOST else ""
