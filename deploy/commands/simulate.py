"""``dataflow demo`` and ``dataflow simulate``: commands that simulate a fleet of devices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deploy.commands.shared import Command, UsageError, positive, shown_progress


def _fleet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", metavar="N", type=positive, default=300, help="in the fleet (default 300)")
    parser.add_argument("--days", metavar="D", type=positive, default=7, help="simulated (default 7)")
    parser.add_argument("--seed", metavar="S", type=int, default=7, help="equal seeds give equal bytes (default 7)")


def fleet_of(options: argparse.Namespace) -> Any:
    """The fleet that the options describe."""
    from deploy.simulator.devices import DeviceFleet

    if options.seed < 0:
        raise UsageError(f"--seed {options.seed}: give a whole number, 0 or above")
    if options.days > 10_000 or options.devices > 10_000_000:
        raise UsageError("a fleet has at most 10,000,000 devices and 10,000 days")
    return DeviceFleet(options.devices, options.days, options.seed)


def _simulate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="a new or empty folder for the files and truth.json")
    _fleet(parser)


def _simulate(options: argparse.Namespace) -> int:
    from deploy.simulator.telemetry_files import write_fleet
    from runtime.progress import human_bytes

    if "://" in options.out:
        raise UsageError(f"{options.out} is no folder of this machine: simulate writes files to one")
    fleet = fleet_of(options)
    with shown_progress() as progress:
        task = progress.start("simulate", fleet.devices, "devices")
        try:
            written = write_fleet(fleet, Path(options.out), task.advance)
        finally:
            task.finish()
    print(f"{written.rows:,} points, {human_bytes(written.bytes)}, in {options.out}")
    print("next: dataflow ingest STORE telemetry", end=" ")
    print(f"{options.out}/telemetry-*.ndjson.gz --key device --time ts --unit ms --duplicates latest")
    return 0


def _demo_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", nargs="?", default="antfold-demo", help="default: ./antfold-demo")
    _fleet(parser)
    parser.add_argument(
        "--live", action="store_true", help="then let the fleet go on, faster than time, and show what changes"
    )
    parser.add_argument("--for", dest="length", metavar="TIME", help="with --live: end after so long (default: Ctrl-C)")


def _demo(options: argparse.Namespace) -> int:
    from dataflow.times.durations import parse_duration
    from deploy.commands.demo import run_demo

    if options.length is not None and not options.live:
        raise UsageError("--for is the time of --live: give both")
    seconds = None if options.length is None else parse_duration(options.length, "--for") / 1_000_000
    fleet = fleet_of(options)
    with shown_progress() as progress:
        return run_demo(options.store, fleet, progress, options.live, seconds)


COMMANDS: dict[str, Command] = {
    "demo": Command(
        "simulate a fleet, ingest it, and compare its up-time by firmware with the simulator's own count",
        "dataflow demo",
        _demo_arguments,
        _demo,
    ),
    "simulate": Command(
        "write the telemetry of a simulated fleet, of any size, as gzipped JSON lines",
        "dataflow simulate ./fleet --devices 1000 --days 30 --seed 1",
        _simulate_arguments,
        _simulate,
    ),
}
