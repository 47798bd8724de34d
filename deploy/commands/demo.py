"""``dataflow demo``: a simulated fleet from JSON lines to a result, beside the simulator's own count."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.commands.long_running import stopped_by_signal
from deploy.commands.shared import show_table, use_color
from deploy.commands.store_views import column
from deploy.simulator.devices import DeviceFleet
from deploy.simulator.ongoing_fleet import OngoingFleet
from deploy.simulator.telemetry_files import write_fleet
from deploy.simulator.truth import Truth, TruthTally
from operators.errors import DataflowError
from operators.types import Type
from runtime.display.text_tables import NULL, cell_width
from runtime.progress import human_bytes

if TYPE_CHECKING:
    from runtime.progress import Progress

STREAM, METRICS, MARKER = "telemetry", "metrics.py", "demo.json"
_COUNTED = ("up", "known", "unknown", "devices")

METRIC_FILE = '''"""The demo's metrics: change them, add your own, and run them with `dataflow query`."""

import dataflow as df

points = df.stream("telemetry")
status = points.state_duration("status", hold="5m")  # how long each device held each status
up = df.col("status") == "up"

# Up-time by firmware, of the time in which the status was known.
uptime = status.group_by("firmware").agg(
    uptime=df.share_of_time(up),
    up=df.duration(up),
    known=df.known_time(),
    unknown=df.unknown_time(),
    devices=df.count_distinct("device"),
)

# The same, day by day.
daily = status.group_by(df.col("firmware"), day=df.time().truncate("1d")).agg(uptime=df.share_of_time(up))

# The same, hour by hour: `dataflow demo --live` shows it while the fleet goes on.
hourly = (
    status.filter(df.col("firmware").is_not_null())
    .group_by(hour=df.time().truncate("1h"), firmware=df.col("firmware"))
    .agg(uptime=df.share_of_time(up), devices=df.count_distinct("device"))
)

# The ten devices that were up least.
worst = (
    status.group_by("device")
    .agg(uptime=df.share_of_time(up), down=df.duration(df.col("status") == "down"), known=df.known_time())
    .sort("uptime")
    .limit(10)
)

# Temperatures by hour of the day, of readings above a parameter: --param above=25
warm = (
    points.filter(df.col("temp") > df.param("above", default=20.0))
    .group_by(hour=df.time().hour())
    .agg(readings=df.count(), mean=df.mean("temp"), highest=df.max("temp"))
)
'''


def run_demo(
    place: str, fleet: DeviceFleet, progress: Progress, is_live: bool = False, seconds: float | None = None
) -> int:
    """Run the demo in the store at ``place``; returns 0 if the engine and the simulator agree to the microsecond. Then,
    if ``is_live``, the fleet goes on, for so many ``seconds`` (None: until Ctrl-C)."""
    folder = _claim(place, fleet)
    try:
        return _run(place, folder, fleet, progress, is_live, seconds)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"interrupted; the same command goes on from here, or remove the folder {folder}"
        ) from None


def _run(place: str, folder: Path, fleet: DeviceFleet, progress: Progress, is_live: bool, seconds: float | None) -> int:
    from deploy.metric_file import load_metric
    from runtime import Store

    say = _Steps()
    first, last = (datetime.fromtimestamp(t / 1000, UTC).date().isoformat() for t in (fleet.start, fleet.end))
    print(f"{fleet.devices:,} devices from {first} to {last}: which firmware stays up?\n")
    store = Store(place, create=True)
    with tempfile.TemporaryDirectory(prefix="antfold-demo-") as scratch:
        task = progress.start("simulate", fleet.devices, "devices")
        try:
            written = write_fleet(fleet, Path(scratch), task.advance)
        finally:
            task.finish()
        say.done(
            "simulate",
            f"{written.rows:,} points as JSON lines, {human_bytes(written.bytes)} gzipped:",
            "crashes, upgrades, silences; late, repeated and corrected points",
        )
        store.ingest(STREAM, *written.files, key="device", time="ts", unit="ms", duplicates="latest", progress=progress)
        own = Path(scratch) / METRICS  # the copy in the store may have been edited
        own.write_text(METRIC_FILE, encoding="utf-8")
        metric, hourly = (load_metric(f"{own}:{name}") for name in ("uptime", "hourly"))
    found = next(s for s in store.streams() if s.name == STREAM)
    files = "point file" if found.files == 1 else "point files"
    say.done(
        "ingest",
        f"{found.rows:,} points in {found.files:,} {files}, {human_bytes(found.bytes)}",
        f"({found.bytes / max(1, found.rows):.2f} bytes a point; {found.dropped:,} repeats merged so far)",
    )
    answer = store.query(metric, since=first, until=last, progress=progress)
    say.done("query", "how long each device held each status, by firmware", "")
    print()
    rows = {row[0]: dict(zip(answer.columns, row, strict=True)) for row in answer}
    _show(rows, written.truth)
    agreed = _compare(rows, written.truth)
    if agreed and is_live:
        from deploy.commands.live_demo import go_on

        with stopped_by_signal() as stop:
            go_on(store, STREAM, hourly, OngoingFleet(fleet, written.revisions), seconds, stop)
        print()
    if agreed:
        _next_steps(place, folder, f"--since {first} --until {last}", last if is_live else None)
    return 0 if agreed else 1


class _Steps:
    """Prints what was done and how long it took."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def done(self, name: str, what: str, more: str) -> None:
        now = time.perf_counter()
        print(f" {_bold(f'{name:<9}')} {what}  ({now - self._since:.1f} s)")
        if more:
            print(f" {'':<9} {more}")
        sys.stdout.flush()
        self._since = time.perf_counter()


def _bold(text: str) -> str:
    return f"\x1b[1m{text}\x1b[0m" if use_color() else text


def _claim(place: str, fleet: DeviceFleet) -> Path:
    """The store's folder, with the metric file written; refuses a store of another demo or another kind."""
    if "://" in place:
        raise DataflowError(f"the demo writes to a local folder, not to {place}")
    folder = Path(place)
    marker = folder / MARKER
    try:
        if marker.is_file():
            if json.loads(marker.read_text(encoding="utf-8")) != asdict(fleet):
                raise DataflowError(f"{folder} contains the demo of another fleet: remove it, or name another folder")
        elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataflowError(f"{folder} exists and is not a demo store: name a new or empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        marker.write_text(json.dumps(asdict(fleet)) + "\n", encoding="utf-8")
        if not (folder / METRICS).exists():  # it may have been edited
            (folder / METRICS).write_text(METRIC_FILE, encoding="utf-8")
    except ValueError as e:
        raise DataflowError(f"{marker} is damaged: remove {folder}, or name another folder") from e
    except OSError as e:
        raise DataflowError(f"cannot write to {folder}: {e.strerror}; name another folder") from e
    return folder


def _show(rows: Mapping[Any, Mapping[str, Any]], truth: Truth) -> None:
    """Print the result beside the truth, and a chart of the up-time."""
    order = list(rows) + [f for f in truth if f not in rows]
    tallies = [truth.get(f) for f in order]
    show_table(
        {
            "firmware": column(Type.STRING, ["not said yet" if f is None else f for f in order]),
            "devices": column(Type.INT, [rows.get(f, {}).get("devices") for f in order]),
            "uptime": column(Type.FLOAT, [rows.get(f, {}).get("uptime") for f in order]),
            "up, antfold": column(Type.DURATION, [rows.get(f, {}).get("up") for f in order]),
            "up, simulator": column(Type.DURATION, [None if t is None else t.up for t in tallies]),
        }
    )
    print()
    known = [(f, rows[f]["uptime"]) for f in rows if f is not None and rows[f]["uptime"] is not None]
    print(bar_chart([(f, share) for f, share in known], shutil.get_terminal_size().columns))
    print()


def bar_chart(shares: list[tuple[str, float]], width: int) -> str:
    """Horizontal bars of shares from 0 to 1; the printed scale starts below the least."""
    if not shares:
        return ""
    least = min(share for _, share in shares)
    floor = next((f for f in (0.99, 0.98, 0.95, 0.9, 0.8, 0.5) if least >= f + 0.1 * (1 - f)), 0.0)
    label = max(cell_width(name) for name, _ in shares)
    room = max(10, min(60, width - label - 14))
    lines = []
    for name, share in shares:
        eighths = round((share - floor) / (1 - floor) * room * 8)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()
        color, plain = ("\x1b[32m", "\x1b[0m") if use_color() else ("", "")
        lines.append(f" {name:<{label}}  {color}{bar:<{room}}{plain} {share:8.3%}")
    scale = f"{floor:.0%}"
    lines.append(f" {'':<{label}}  {scale}{'100%':>{room - len(scale)}}")
    return "\n".join(lines)


def _compare(rows: Mapping[Any, Mapping[str, Any]], truth: Truth) -> bool:
    """Whether every figure of every firmware equals the simulator's; prints the outcome."""
    apart = []
    for firmware in dict.fromkeys([*truth, *rows]):
        mine, true = rows.get(firmware, {}), truth.get(firmware, TruthTally())
        if firmware is None and not mine and not true.known and not true.devices:
            continue
        for name in (*_COUNTED, "uptime"):
            if mine.get(name) != getattr(true, name):
                apart.append(f"{firmware or NULL} {name}: antfold {mine.get(name)}, simulator {getattr(true, name)}")
    if not apart:
        print(f"The simulator's own count agrees: {len(rows)} groups, to the microsecond.\n")
        return True
    print("dataflow: the result differs from the simulator's: " + "; ".join(apart), file=sys.stderr)
    return False


def _next_steps(place: str, folder: Path, span: str, live: str | None) -> None:
    """Print commands to try; the first reproduces the table above: that of the fleet that went on from ``live``, if
    it did."""
    program = _program()
    print("Try next; the first prints the table above:")
    for step in (
        *([] if live is None else [f"query {place} {folder / METRICS}:hourly --since {live}"]),
        f"query {place} {folder / METRICS}:uptime {span}",
        f"query {place} {folder / METRICS}:worst {span}",
        f"query {place} {folder / METRICS}:daily {span} --format csv",
        f"query {place} {folder / METRICS}:warm --param above=25",
        f"explain {place} {folder / METRICS}:uptime",
        f"streams {place}",
        f"verify {place}",
    ):
        print(f"  {program} {step}")
    print(f"\nThe metrics are plain Python, in {folder / METRICS}: edit them and query again.")


def _program() -> str:
    """The command that was typed: ``dataflow`` if it is on the PATH, else the script's path."""
    called = Path(sys.argv[0])
    found = shutil.which("dataflow")
    if called.name != "dataflow" or (found is not None and Path(found).resolve() == called.resolve()):
        return "dataflow"
    try:
        return str(called.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(called)
