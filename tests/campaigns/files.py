"""Point files other than those committed: swapped, repeated, truncated, changed, or of another store.

A query over a store with such a file is refused, or returns the result of the undamaged store.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from tests.campaigns import Report, damage

METRIC = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"), last=df.last("v"))
DAYS, DAY = 4, 86_400
START = 19_800

Change = Callable[[random.Random, Path, list[Path], list[Path]], str]


def run(budget: int, seed: int) -> Report:
    """Change the files of a store in each way, in turn; ask for everything, and for each day."""
    report, rng = Report(), random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="antfold-files-") as name:
        folder, small = Path(name) / "store", Path(name) / "small"
        _made(folder, 0)
        _made(small, 0, rows=60)
        other = _of_one_size(folder)
        right = [_answer(folder, day) for day in (None, *range(DAYS))]
        files = sorted((folder / "data").rglob("*.points"))
        others = [sorted((store / "data").rglob("*.points")) for store in (other, small)]
        contents = {path: path.read_bytes() for path in files}
        for number in range(budget):
            kind, change = list(CHANGES.items())[number % len(CHANGES)]
            changed = change(rng, rng.choice(files), files, others[number // len(CHANGES) % 2])
            report.count(kind)
            for place, day in enumerate((None, *range(DAYS))):
                try:
                    found = _answer(folder, day)
                except DataflowError:
                    continue
                except Exception as error:
                    report.failures.append(f"{changed}: {type(error).__name__}: {error}")
                    continue
                if found != right[place]:
                    report.failures.append(f"{changed}, day {day}: {right[place]} is right, {found} came")
            for path, content in contents.items():
                damage.restore(path, content)
    return report


def _of_one_size(folder: Path) -> Path:
    """Another store, of which a file of each commit has the size of the one in its place, and its rows and times."""
    sizes = [path.stat().st_size for path in sorted((folder / "data").rglob("*.points"))]
    for number in range(1, 200):
        other = folder.with_name(f"other{number}")
        _made(other, number)
        found = [path.stat().st_size for path in sorted((other / "data").rglob("*.points"))]
        if sum(a == b for a, b in zip(sizes, found, strict=True)) > 1:
            return other
    raise AssertionError("no store has files of the same size")


def _made(folder: Path, number: int, rows: int | None = None) -> None:
    """A store with two commits of four days, all with the same rows and times, and other values for each number."""
    with Store(folder, create=True) as store:
        for part in range(2):
            lines = []
            for day in range(DAYS):
                for i in range(40):
                    t = (START + day) * DAY + 600 * i
                    value = 1000 + (i * 7 + day * 31 + part * 13) % 9 + number
                    lines.append(f'{{"k":"{"ab"[i % 2]}","t":{t},"v":{value}}}\n')
            file = folder.parent / f"{folder.name}{part}.ndjson"
            file.write_text("".join(lines[:rows]))
            store.ingest("s", file, key="k", time="t", unit="s", progress=False)


def _answer(folder: Path, day: int | None) -> object:
    since = None if day is None else (START + day) * DAY * 1_000_000
    until = None if since is None else since + DAY * 1_000_000
    with Store(folder) as store:
        return sorted(store.query(METRIC, since, until, progress=False))


def _swapped(rng: random.Random, path: Path, files: list[Path], others: list[Path]) -> str:
    second = rng.choice([p for p in files if p != path])
    one, two = path.read_bytes(), second.read_bytes()
    path.write_bytes(two)
    second.write_bytes(one)
    return f"{path.name} and {second.name} swapped"


def _swapped_in_a_day(rng: random.Random, path: Path, files: list[Path], others: list[Path]) -> str:
    return _swapped(rng, path, [p for p in files if p.parent == path.parent], others)


def _repeated(rng: random.Random, path: Path, files: list[Path], others: list[Path]) -> str:
    second = rng.choice([p for p in files if p != path])
    path.write_bytes(second.read_bytes())
    return f"{second.name} in the place of {path.name}, too"


def _of_another(rng: random.Random, path: Path, files: list[Path], others: list[Path]) -> str:
    same = [p for p in others if p.parent.name == path.parent.name]
    second = same[sorted(p for p in files if p.parent == path.parent).index(path) % len(same)] if same else others[0]
    path.write_bytes(second.read_bytes())
    return f"{path.name} is another store's {second.name}"


def _changed(do: damage.Damage) -> Change:
    def change(rng: random.Random, path: Path, files: list[Path], others: list[Path]) -> str:
        do(path, rng)
        return f"{path.name}: {do.__name__}"

    return change


CHANGES: dict[str, Change] = {
    "two files swapped": _swapped,
    "two files of one day swapped": _swapped_in_a_day,
    "a file repeated in the place of another": _repeated,
    "another store's file": _of_another,
    "a file cut": _changed(damage.cut),
    "a bit flipped": _changed(damage.flip),
    "zeros in a file": _changed(damage.zeros),
    "a longer file": _changed(damage.longer),
    "an empty file": _changed(damage.empty),
    "no file": _changed(damage.gone),
}
