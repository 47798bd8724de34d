"""``dataflow ingest``: reads points into a store."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from deploy.commands.shared import Command, UsageError, ended_by_signal, shown_progress, store_argument
from operators.nearest import meant, nearest

if TYPE_CHECKING:
    from runtime import Store

_UNITS = ("s", "ms", "us", "ns", "iso")
_DUPLICATES = ("keep", "exact", "latest")
_LISTS = ("json", "columns", "drop", "null", "names")


def _ingest_arguments(parser: argparse.ArgumentParser) -> None:
    store_argument(parser)
    parser.add_argument("stream", metavar="STREAM", help="the stream's name")
    parser.add_argument(
        "files", metavar="FILE", nargs="*", help="files, or - for standard input; also compressed or zipped"
    )
    field_arguments(parser)
    duplicate_arguments(parser)
    missing_key_argument(parser)
    parser.add_argument(
        "--replace", action="store_true", help="take back the source of the same name, if any, in the same commit"
    )
    parser.add_argument(
        "--replace-source",
        metavar="SOURCE",
        help="take back this source (`dataflow sources`), in the same commit; with one file",
    )
    parser.add_argument(
        "--source", metavar="NAME", help="the source's name, which counts once whatever its bytes are; with one file"
    )
    parser.add_argument("--no-compact", action="store_true", help="do not merge small files at the end")
    parser.add_argument("--retry-rejects", action="store_true", help="ingest the rejected records of the stream again")
    reading_arguments(parser)


def field_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say which fields are key and time, and the format."""
    parser.add_argument("--key", metavar="K", help="the field that names the device, account or user")
    parser.add_argument("--time", metavar="T", help="the field that holds the event time")
    parser.add_argument("--unit", choices=_UNITS, help="of numeric times; ISO-8601 text needs none")
    parser.add_argument(
        "--format", metavar="FORMAT", default="auto", help="of the files (default: detected); `dataflow formats`"
    )
    parser.add_argument("--preset", metavar="NAME", help="the options for a well-known source; `dataflow formats`")


def duplicate_arguments(parser: argparse.ArgumentParser) -> None:
    """``--duplicates`` and ``--id``."""
    parser.add_argument(
        "--duplicates",
        choices=_DUPLICATES,
        help="points of equal key and time: keep all (default), drop exact repeats, or the latest wins by column",
    )
    parser.add_argument("--id", metavar="COLUMN", help="a column whose values count once per key and day")


def missing_key_argument(parser: argparse.ArgumentParser) -> None:
    """``--missing-key``."""
    parser.add_argument("--missing-key", metavar="NAME", help="the key of points without one (default: reject them)")


def reading_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that say how records are read."""
    from runtime.ingest import Reading

    for f in fields(Reading):
        said = f.metadata
        more: dict[str, Any] = {"action": "append"} if "convert" in said else {}
        if f.name in ("depth", "skip_rows"):
            more = {"type": int}
        parser.add_argument(f"--{f.name.replace('_', '-')}", metavar=said["metavar"], help=said["help"], **more)


def reading_of(options: argparse.Namespace) -> dict[str, Any]:
    """Those of these options that were given, by name; lists of names may be repeated or have commas."""
    from runtime.ingest import Reading

    found = {f.name: getattr(options, f.name) for f in fields(Reading)}
    return {n: ",".join(v) if n in _LISTS and v else v for n, v in found.items() if v is not None}


def _ingest(options: argparse.Namespace) -> int:
    from runtime import Store
    from runtime.errors import IngestError
    from runtime.ingest import SourcesFailed
    from runtime.ingest.formats import check_format
    from runtime.ingest.inputs.presets import preset_of

    if options.retry_rejects:
        return _retry(options)
    if not options.files:
        raise UsageError("name the files to ingest, or - for standard input")
    if options.replace_source is not None and (len(options.files) > 1 or options.replace):
        beside = "--replace" if options.replace else f"{len(options.files)} files"
        raise UsageError(f"--replace-source takes one file, which takes the place of the source, not {beside}")
    try:
        check_format(options.format)
        preset = preset_of(options.preset, options.format)
    except IngestError as error:
        raise UsageError(str(error)) from None
    keyed = any(given is not None for given in (options.key, preset.key, options.key_value))
    declared = keyed and (options.time or preset.time) is not None
    # A store is made for a stream that is declared; a mistyped name must not make one.
    store = Store(options.store, create=declared)
    there = _streams_of(store, options.store)
    if not declared:
        schema = store.catalogue.schema(options.stream) if options.stream in there else None
        if schema is None:
            question = meant(options.stream, there).strip()
            hint = f"; {question}" if question else ""
            raise UsageError(f"the stream {options.stream} is new: --key and --time are needed{hint}")
    try:
        with ended_by_signal(), shown_progress() as progress:
            report = store.ingest(
                options.stream,
                *options.files,
                key=options.key,
                time=options.time,
                unit=options.unit,
                format=options.format,
                duplicates=options.duplicates,
                id=options.id,
                missing_key=options.missing_key,
                preset=options.preset,
                progress=progress,
                compact=not options.no_compact,
                replace=options.replace_source or options.replace,
                source=options.source,
                **reading_of(options),
            )
    except SourcesFailed as failed:
        print(failed.report)
        raise
    print(report)
    if options.stream not in there and (near := nearest(options.stream, there)) is not None:
        print(f"note: the stream {options.stream} is new; there is also {near}", file=sys.stderr)
    return 0


def _retry(options: argparse.Namespace) -> int:
    """Ingest the stream's rejects again, with the options that are given now over those of before."""
    from runtime import Store

    if options.files:
        raise UsageError("--retry-rejects takes no files: it reads the rejected records that the store has kept")
    names = ("key", "time", "unit", "duplicates", "id", "missing_key", "preset")
    given = {**{name: getattr(options, name) for name in names}, **reading_of(options)}
    if options.format != "auto":
        given["format"] = options.format
    with ended_by_signal(), shown_progress() as progress:
        report = Store(options.store).retry_rejects(
            options.stream,
            progress=progress,
            compact=not options.no_compact,
            **{name: value for name, value in given.items() if value is not None},
        )
    print(report if report.sources else f"{options.stream}: no rejected records to retry")
    return int(bool(report.sources) and all(source.error is not None for source in report.sources))


def _streams_of(store: Store, place: str) -> list[str]:
    """The names of the store's streams; UsageError where there is no store, and none can be made yet."""
    from runtime.errors import NoStore

    try:
        return list(store.catalogue.streams())
    except NoStore as error:
        hint = f"; did you mean {error.near!r}?" if error.near is not None else ""
        raise UsageError(f"there is no store {place} yet: --key and --time are needed to make it{hint}") from None


COMMANDS: dict[str, Command] = {
    "ingest": Command(
        "read points from files into a stream; each file counts once",
        "dataflow ingest ./store telemetry points.ndjson.gz --key device --time ts --unit ms",
        _ingest_arguments,
        _ingest,
    ),
}
