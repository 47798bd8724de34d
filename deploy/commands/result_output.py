"""How a result leaves the script: its format, to the terminal, a pipe or a file."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
            out.write(_content(result, form))
        print(f"result written to {output}", file=sys.stderr)
        return
    with shown():
        if form == "parquet":
            sys.stdout.buffer.write(_content(result, form))
        elif form == "table":
            print(_table(result))
        else:
            sys.stdout.write(_content(result, form).decode())


def _content(result: Result | Explanation, form: str) -> bytes:
    """The file of this format; its rows, of a provenance in a format that holds nothing else."""
    from runtime.display.table_files import write_table
    from runtime.display.text_tables import markdown_table
    from runtime.result.result import Explanation

    rows = result.rows if isinstance(result, Explanation) else result
    match form:
        case "table":
            return f"{_whole_table(result)}\n".encode()
        case "json":
            return f"{to_json(result.to_dict())}\n".encode()
        case "csv":
            return (rows.to_csv() or "").encode()
        case "markdown":
            return f"{markdown_table(rows.columns)}\n".encode()
        case _:
            out = io.BytesIO()
            write_table(out, form, rows.columns)
            return out.getvalue()


def _table(result: Result | Explanation) -> str:
    return result.to_text(**terminal_form()) if sys.stdout.isatty() else _whole_table(result)


def _whole_table(result: Result | Explanation) -> str:
    from runtime.result.result import Explanation

    return result.to_text(all_files=True) if isinstance(result, Explanation) else result.to_text()
