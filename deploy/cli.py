"""The console script ``dataflow``: finds the command, and turns every failure into one sentence and an exit code.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 an ``--alert`` holds, 130 interrupted. Commands import what they need
when they run, so that a query whose kernels are cached starts fast.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Sequence

from deploy.arguments import Parser
from deploy.commands import COMMANDS
from deploy.commands.shared import Command, UsageError, flush_or_forget
from operators.errors import DataflowError
from operators.nearest import meant

_INTERRUPTED = "interrupted; incomplete work was discarded"
_ABOUT = "Metrics over telemetry, events and transactions."
_EXAMPLE = """first steps:
  dataflow demo
  dataflow ingest ./store telemetry points.ndjson.gz --key device --time ts --unit ms
  dataflow query ./store metrics.py:uptime

Every command has --help with an example; so does `dataflow help COMMAND`."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; ``argv`` defaults to the process's arguments. Returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    _never_fail_to_print()
    # Imports create hundreds of thousands of long-lived objects: collecting over them took a fifth of a short command's
    # time.
    gc.set_threshold(100_000, 50, 100)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as e:  # argparse: help was printed (0), or the usage is wrong (2)
        return e.code if isinstance(e.code, int) else 1
    except BrokenPipeError:  # the reader closed the pipe, like `head`: not an error
        return 0
    except KeyboardInterrupt as e:  # an ingest's message lists what was committed
        return _fail(str(e) or _INTERRUPTED, 130)
    except DataflowError as e:
        return _fail(str(e), 1)
    except OSError as e:
        where = f"{e.filename}: " if e.filename else ""
        return _fail(f"{where}{e.strerror or e}", 1)
    except MemoryError:
        return _fail("out of memory; use a shorter range, fewer groups or fewer --workers", 1)
    except Exception as e:
        if _is_of_interrupt(e):
            return _fail(_INTERRUPTED, 130)
        if os.environ.get("ANTFOLD_DEBUG"):
            raise
        return _fail(
            f"internal error, please report it: {type(e).__name__}: {e} (ANTFOLD_DEBUG=1 shows where it happened)",
            1,
        )
    finally:
        flush_or_forget()


def _run(arguments: list[str]) -> int:
    name = arguments[0] if arguments else ""
    if name == "help":
        return _help(arguments[1:])
    command = COMMANDS.get(name)
    if command is None:
        overview = _overview()
        overview.parse_args(arguments[:1])
        overview.print_help(sys.stderr)
        return 2
    parser = command_parser(name, command)
    try:
        return command.run(parser.read(arguments[1:]))
    except UsageError as e:
        parser.error(str(e))


def _help(names: list[str]) -> int:
    """``dataflow help``, ``dataflow help COMMAND``: the same as ``--help``."""
    if not names:
        _overview().print_help()
        return 0
    if names[0] == "help" and len(names) == 1:
        _overview().print_help()
        return 0
    if names[0] not in COMMANDS:
        _overview().parse_args(names[:1])
    parser = command_parser(names[0], COMMANDS[names[0]])
    if len(names) > 1:
        parser.error(f"help takes one command; {names[1]!r} is one argument too many")
    parser.print_help()
    return 0


def command_parser(name: str, command: Command) -> Parser:
    """The parser of one command."""
    parser = Parser(
        prog=f"dataflow {name}",
        description=command.about,
        epilog=f"example:\n  {command.example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.arguments(parser)
    return parser


class _Overview(Parser):
    def format_help(self) -> str:
        width = max(len(name) for name in COMMANDS)
        listed = "\n".join(f"  {name:<{width}}  {command.about}" for name, command in COMMANDS.items())
        return f"usage: dataflow COMMAND ...\n\n{_ABOUT}\n\ncommands:\n{listed}\n\n{_EXAMPLE}\n"


def _overview() -> argparse.ArgumentParser:
    parser = _Overview(prog="dataflow", usage="dataflow COMMAND ...", allow_abbrev=False)
    parser.add_argument("--version", action=_Version, nargs=0)
    parser.add_argument("command", metavar="COMMAND", nargs="?", type=_command)
    return parser


def _command(name: str) -> str:
    """Raises: known commands are found before the overview is parsed."""
    there = meant(name, [*COMMANDS, "help", "--version", "--help"], "there")
    raise argparse.ArgumentTypeError(f"there is no command {name!r}; {there} are {', '.join(COMMANDS)}")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import PackageNotFoundError, version

        try:
            print(f"antfold {version('antfold')}")
        except PackageNotFoundError:
            print("antfold (not installed, running from its folder)")
        parser.exit()


def _is_of_interrupt(error: BaseException) -> bool:
    """Whether an unexpected error came of an interrupt: what tidies up after one may fail, as argparse's own does."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, KeyboardInterrupt):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def _fail(message: str, code: int) -> int:
    """One line on standard error."""
    print("dataflow: " + " ".join(message.split()), file=sys.stderr)
    return code


def _never_fail_to_print() -> None:
    """Print a question mark for characters that the terminal cannot encode."""
    # Closed by the shell (>&-): then what is printed goes nowhere.
    sys.stdout, sys.stderr = (stream or open(os.devnull, "w") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")
