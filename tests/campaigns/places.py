"""Something else in place of a file: a FIFO, socket, device, folder or dangling link.

For every file of a store (points, catalogue and its logs, cached states, published queries, kernels), every input of
ingest, metric files, reference tables and settings. Each try has a time-out and ends in the right result or an error.
"""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dataflow as df
from deploy.metric_file import load_metric
from deploy.stack import settings
from deploy.stack.example import EXAMPLE
from operators.errors import DataflowError
from runtime import Store
from tests.campaigns import Report, damage

SECONDS = 30

METRIC = df.stream("s").state_duration("v", hold="1h").group_by("v").agg(t=df.known_time())


class _Hangs(BaseException):
    """No ``Exception``: nothing in between may catch it."""


def run(budget: int, seed: int) -> Report:
    """Try each file with each thing in its place, in a drawn order, until ``budget`` tries are done."""
    report, rng = Report(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="antfold-places-") as name:
        whole = Path(name) / "whole"
        right = _make(whole)
        files = sorted(p.relative_to(whole) for p in whole.rglob("*") if p.is_file())
        # No catalogue is open, so these are not there.
        files += [Path(f"store/catalogue.sqlite{ending}") for ending in ("-wal", "-shm", "-journal")]
        pairs = list(itertools.product(files, damage.PLACE))
        rng.shuffle(pairs)
        for number, (file, kind) in enumerate(itertools.islice(itertools.cycle(pairs), budget)):
            work = Path(name) / str(number)
            shutil.copytree(whole, work)
            _try(report, rng, work, file, kind, right)
            shutil.rmtree(work)
    return report


def _make(work: Path) -> dict[str, Any]:
    """The store and the inputs; what each of ``_uses`` gives when nothing is wrong."""
    work.mkdir()
    (work / "more.csv").write_text("k,t,v\nc,90000,up\nc,90600,down\n")
    (work / "table.csv").write_text("k,site\na,x\nb,y\n")
    (work / "metric.json").write_text(METRIC.to_json())
    (work / "metric.py").write_text("import dataflow as df\nn = df.stream('s').agg(n=df.count())\n")
    (work / "antfold.toml").write_text(EXAMPLE)
    with Store(work / "store", create=True) as store:
        n = 300
        times = [600 * i for i in range(n)]
        points = {"k": ["ab"[i % 2] for i in range(n)], "t": times, "v": ["up" if i % 5 else "down" for i in range(n)]}
        store.ingest("s", points, key="k", time="t", unit="s")
        store.publish(METRIC, "uptime")
        store.query("uptime", progress=False)  # which keeps a state
    right = {}
    for name, use in _uses(work).items():
        with tempfile.TemporaryDirectory() as copy:
            shutil.copytree(work, Path(copy) / "w")
            right[name] = _uses(Path(copy) / "w")[name]()
            assert use
    return right


def _uses(work: Path) -> dict[str, Callable[[], Any]]:
    def with_store(use: Callable[[Store], Any]) -> Any:
        with Store(work / "store") as store:
            return use(store)

    def ingested(store: Store) -> Any:
        found = store.ingest("s", work / "more.csv", key="k", time="t", unit="s", progress=False)
        return [(s.status, s.committed) for s in found.sources]

    def rows(metric: Any) -> Callable[[Store], Any]:
        return lambda store: store.query(metric, progress=False).to_dict()["rows"]

    return {
        "query": lambda: with_store(rows(METRIC)),
        "query by name": lambda: with_store(rows("uptime")),
        "queries": lambda: with_store(lambda store: [str(q) for q in store.queries()]),
        "verify": lambda: with_store(lambda store: store.verify().ok),
        "ingest": lambda: with_store(ingested),
        "metric in JSON": lambda: load_metric(str(work / "metric.json")).to_json(),
        "metric in Python": lambda: load_metric(str(work / "metric.py")).to_json(),
        "reference table": lambda: df.table.from_csv(work / "table.csv").rows,
        "settings": lambda: settings.load(work / "antfold.toml").name,
    }


def _try(report: Report, rng: random.Random, work: Path, file: Path, kind: damage.Damage, right: Any) -> None:
    path = work / file
    if not path.exists():
        path.write_bytes(b"")  # SQLite's logs
    kind(path, rng)
    report.count(kind.__name__)
    for name, use in _uses(work).items():
        try:
            if name == "ingest" and file.name == "more.csv" and kind.__name__ in ("fifo", "device"):
                continue  # named itself, it is read as a stream, which is what it was named for
            with _at_most(SECONDS):
                found = use()
        except DataflowError:
            continue
        except (_Hangs, Exception) as error:
            report.failures.append(f"{kind.__name__} for {file}, {name}: {type(error).__name__}: {error}")
        else:
            # A query that is gone is one that nobody published; what is wrong is all that verify says.
            gone = name == "queries" and found == [] and kind.__name__ in ("gone", "dangling", "folder")
            if found != right[name] and not (name == "verify" and found is False) and not gone:
                report.failures.append(f"{kind.__name__} for {file}, {name}: {right[name]} is right, {found} came")


@contextmanager
def _at_most(seconds: int) -> Iterator[None]:
    def ring(*_: object) -> None:
        raise _Hangs(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
