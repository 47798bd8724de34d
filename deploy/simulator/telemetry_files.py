"""Writes simulated telemetry as gzipped JSON lines, and the truth beside it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from deploy.simulator.devices import COLDEST, FIRMWARES, HOTTEST, STATUSES, DeviceFleet, Lines, simulate
from deploy.simulator.ongoing_fleet import last_revisions
from deploy.simulator.truth import Truth, add_device
from operators.errors import DataflowError
from runtime.storage.locations.folder import check_outside_of_stores

HOLD = 300_000  # ms: the five minutes of the demo's metric
_FILE_ROWS = 500_000
_CHUNK_ROWS = 50_000


@dataclass(frozen=True)
class Written:
    """The files in order of arrival, their lines and bytes, the truth, and the firmwares of the devices that can go
    on (``OngoingFleet``)."""

    files: tuple[Path, ...]
    rows: int
    bytes: int
    truth: Truth
    revisions: dict[int, int]


def _table(texts: list[str]) -> NDArray[np.bytes_]:
    return np.array([t.encode() for t in texts])


_STATUS = _table(["", *(f',"status":"{s}"' for s in STATUSES)])
_FIRMWARE = _table(["", *(f',"firmware":"{f.name}"' for f in FIRMWARES)])
_TENTHS = _table([*(f',"temp":{t / 10:.1f}' for t in range(COLDEST, HOTTEST + 1)), ""])
_FOUR = _table([f"{i:04}" for i in range(10_000)])
_END = np.frombuffer(b"}\n", np.uint8)


def to_ndjson(lines: Lines, names: NDArray[np.bytes_]) -> bytes:
    """The lines as JSON objects; ``names[i]`` is the start of device i's objects."""
    high, low = np.divmod(lines.time, 10_000)
    high, mid = np.divmod(high, 10_000)
    parts = [
        names[lines.device],
        high.astype("S"),
        _FOUR[mid],
        _FOUR[low],
        _STATUS[lines.status + 1],
        _TENTHS[lines.tenths - COLDEST],
        _FIRMWARE[lines.firmware + 1],
    ]
    # Fixed-width fields padded with zero bytes, which are then removed.
    fields = [p.view(np.uint8).reshape(len(lines), -1) for p in parts]
    grid = np.hstack([*fields, np.broadcast_to(_END, (len(lines), len(_END)))]).ravel()
    text: bytes = grid[grid != 0].tobytes()
    return text


def _gzip(parts: list[bytes]) -> bytes:
    packer = zlib.compressobj(1, zlib.DEFLATED, 31)  # a gzip member without a date: equal fleets give equal bytes
    return b"".join([*(packer.compress(p) for p in parts), packer.flush()])


def _slices(rows: int, step: int) -> Iterator[slice]:
    return (slice(i, min(i + step, rows)) for i in range(0, rows, step))


def write_fleet(fleet: DeviceFleet, folder: Path, report: Callable[[int, int], None] | None = None) -> Written:
    """Write the fleet's telemetry as ``telemetry-00001.ndjson.gz`` and so on, and ``truth.json``.

    DataflowError, with nothing written, unless ``folder`` is empty or does not exist, and lies in no store.
    ``report(devices, rows)`` is called after each batch.
    """
    names = _table([f'{{"device":"{fleet.name(i)}","ts":' for i in range(fleet.devices)])
    truth: Truth = {}
    revisions: dict[int, int] = {}
    files: list[Path] = []
    pending: list[tuple[Path, Future[bytes]]] = []
    rows = size = 0

    def settle(keep: int) -> int:
        written = 0
        while len(pending) > keep:
            path, packed = pending.pop(0)
            data = packed.result()
            path.write_bytes(data)
            files.append(path)
            written += len(data)
        return written

    check_outside_of_stores(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Files of an earlier run that are not overwritten would be ingested, too.
        if there := min((path.name for path in folder.iterdir()), default=None):
            raise DataflowError(
                f"{folder} is not empty (it contains {there!r}): name a new or empty folder, or empty it first"
            )
        with ThreadPoolExecutor(2) as pool:
            for numbers in fleet.batches():
                events, lines = simulate(fleet, numbers)
                revisions |= last_revisions(numbers, events)
                for said in events:
                    add_device(truth, said, fleet.start, fleet.end, HOLD)
                for part in _slices(len(lines), _FILE_ROWS):
                    some = lines.take(part)
                    texts = [to_ndjson(some.take(s), names) for s in _slices(len(some), _CHUNK_ROWS)]
                    path = folder / f"telemetry-{len(files) + len(pending) + 1:05}.ndjson.gz"
                    pending.append((path, pool.submit(_gzip, texts)))
                    size += settle(keep=2)
                rows += len(lines)
                if report is not None:
                    report(len(numbers), len(lines))
            size += settle(keep=0)
        (folder / "truth.json").write_text(truth_json(fleet, truth), encoding="utf-8")
    except OSError as e:
        raise DataflowError(f"cannot write telemetry to {folder}: {e.strerror}; choose another folder") from e
    return Written(tuple(files), rows, size, truth, revisions)


def truth_json(fleet: DeviceFleet, truth: Truth) -> str:
    """The truth as JSON: by firmware (null: not reported yet), durations in microseconds over [since, until)."""
    order = sorted(truth, key=lambda f: (f is not None, f or ""))
    found = [{"firmware": f, "uptime": truth[f].uptime, **vars(truth[f])} for f in order]
    head = {"since_us": fleet.start * 1000, "until_us": fleet.end * 1000, "hold_us": HOLD * 1000}
    return json.dumps({**head, "by_firmware": found}, indent=1) + "\n"
