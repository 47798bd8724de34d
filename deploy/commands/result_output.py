"""How a result leaves the script: its format, to the terminal, a pipe or a file."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from deploy.commands.shared import UsageError, shown, terminal_form
from deploy.values import to_json

if TYPE_CHECKING:
    from runtime.result.result import Explanation, Result

FORMS = ("table", "json", "csv", "parquet", "ndjson", "markdown")

_ENDINGS = {
    ".txt": "table", ".json": "json", ".csv": "csv", ".parquet": "parquet", ".ndjson": "ndjson", ".jsonl": "ndjson",
    ".md": "markdown",
}  # fmt: skip


def output_arguments(parser: argparse.ArgumentParser) -> None:
    """``--format`` and ``--output`` of a result."""
    parser.add_argument("--format", choices=FORMS, help="of the result (default: as FILE ends, else table)")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="write the result to a file, which is replaced; parquet needs one"
    )


def checked_output(options: argparse.Namespace) -> str:
    """The format of the result; UsageError if it cannot be written, before anything is read."""
    given: str | None = options.format
    if options.output is None or options.output == "-":
        if given == "parquet" and (options.output is None or sys.stdout.isatty()):
            raise UsageError("--format parquet is not text: name a file with -o FILE")
        return given or "table"
    output = Path(options.output)
    form = given or _ENDINGS.get(output.suffix.lower())
    if form is None:
        raise UsageError(f"-o {output}: say its --format, or end its name in {', '.join(_ENDINGS)}")
    if not output.parent.is_dir():
        raise UsageError(f"-o {output}: there is no folder {output.parent}")
    if output.is_dir():
        raise UsageError(f"-o {output}: that is a folder; name a file in it")
    if form == "parquet":
        from runtime.display.export import need

        need("pyarrow", "parquet")
    return form


def show_result(result: Result | Explanation, form: str, output: str | None) -> None:
    """Print a result, or the provenance of one of its rows, or write it to a file, whole or not at all."""
    if output is not None and output != "-":
        from operators.files import whole_file

        with whole_file(Path(output), replace=True) as out:
            _write(result, form, out)
        print(f"result written to {output}", file=sys.stderr)
        return
    with shown():
        if form == "table" and sys.stdout.isatty():
            print(result.to_text(**terminal_form()))
        elif form == "parquet" or hasattr(sys.stdout, "buffer"):
            sys.stdout.flush()
            _write(result, form, sys.stdout.buffer)
        else:
            out = io.BytesIO()
            _write(result, form, out)
            sys.stdout.write(out.getvalue().decode())


def _write(result: Result | Explanation, form: str, out: BinaryIO) -> None:
    """Write the file of this format, a few rows at a time; its rows, of a provenance in a format that holds nothing
    else."""
    from runtime.display.pieces import batched_text
    from runtime.display.table_files import write_table
    from runtime.result.result import Explanation

    rows = result.rows if isinstance(result, Explanation) else result
    if form in ("parquet", "ndjson"):
        write_table(out, form, rows.columns)
        return
    for some in batched_text(_text(result, rows, form)):
        out.write(some)


def _text(result: Result | Explanation, rows: Result, form: str) -> Iterator[str]:
    from runtime.display.export import csv_lines
    from runtime.display.json_form import json_pieces
    from runtime.display.text_tables import markdown_lines
    from runtime.result.result import Explanation

    match form:
        case "csv":
            yield from csv_lines(rows.columns)
        case "json" if isinstance(result, Explanation):
            yield f"{to_json(result.to_dict())}\n"
        case "json":
            yield from json_pieces(rows)
            yield "\n"
        case "markdown":
            yield from (f"{line}\n" for line in markdown_lines(rows.columns))
        case _ if isinstance(result, Explanation):
            yield f"{result.to_text(all_files=True)}\n"
        case _:
            yield from (f"{line}\n" for line in rows.text_lines())
