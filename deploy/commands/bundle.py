"""``dataflow bundle``: builds the code of the Lambda functions."""

from __future__ import annotations

import argparse
from pathlib import Path

from deploy.commands.shared import Command, show_table, shown_progress


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", metavar="OUT", help="the zip to write; an existing one is replaced")
    parser.add_argument("--arch", choices=("x86_64", "arm64"), default="x86_64", help="of the functions")
    parser.add_argument("--python", metavar="VERSION", default="3.13", help="of the functions (default 3.13)")


def _bundle(options: argparse.Namespace) -> int:
    from deploy.bundle import build
    from deploy.commands.store_views import column
    from operators.types import Type
    from runtime.progress import human_bytes

    with shown_progress() as progress:
        bar = progress.start("bundle", 4, "steps")
        try:
            bundle = build(Path(options.out), options.arch, options.python, lambda _: bar.advance(1))
        finally:
            bar.finish()
    parts = bundle.parts
    show_table(
        {
            "part": column(Type.STRING, [p.name for p in parts]),
            "files": column(Type.INT, [p.files for p in parts]),
            "bytes": column(Type.INT, [p.bytes for p in parts]),
        }
    )
    print(f"{bundle.path}: {human_bytes(bundle.bytes)}, unzipped {human_bytes(bundle.unzipped)}")
    if not bundle.bytecode:
        print(
            f"without bytecode, because no python{options.python} is on the PATH: "
            "each cold start compiles its imports (about 200 ms)"
        )
    return 0


COMMANDS: dict[str, Command] = {
    "bundle": Command(
        "build the code of the Lambda functions as a zip", "dataflow bundle antfold.zip", _arguments, _bundle
    ),
}
