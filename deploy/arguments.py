"""Command-line parsing: one-sentence usage errors, with the name that was probably meant."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from operators.nearest import meant, nearest

_UNKNOWN = "unrecognized arguments: "


class Parser(argparse.ArgumentParser):
    """A parser with one-line errors; options accept values that begin with ``-``, like ``--since -7d``."""

    def read(self, args: Sequence[str]) -> argparse.Namespace:
        """The options and arguments in ``args``."""
        return self.parse_intermixed_args(self._tied(args))

    def error(self, message: str) -> NoReturn:
        """Print what is wrong as one sentence and exit with 2."""
        if message.startswith(_UNKNOWN):
            message = self._unknown(message.removeprefix(_UNKNOWN).split(" "))
        message = message.removeprefix("argument COMMAND: ")
        self.exit(2, f"{self.prog}: {' '.join(message.split())} (see {self.prog} --help)\n")

    def options(self) -> list[str]:
        """The long names of all options."""
        return [name for action in self._actions for name in action.option_strings if name.startswith("--")]

    def _unknown(self, given: Sequence[str]) -> str:
        option = next((word.partition("=")[0] for word in given if word.startswith("-") and word != "-"), None)
        if option is None:
            return f"{given[0]!r} is one argument too many"
        names = self.options()
        found = nearest(option.strip("-"), (n.strip("-") for n in names))
        said = f"there are {', '.join(names)}" if found is None else f"did you mean --{found}?"
        return f"there is no option {option}; {said}"

    def _tied(self, args: Sequence[str]) -> list[str]:
        """``--since -7d`` as ``--since=-7d``: a word after an option with a value is that value, unless an option."""
        valued = {n for a in self._actions if a.nargs is None for n in a.option_strings}
        known = {n for a in self._actions for n in a.option_strings}
        out: list[str] = []
        for i, word in enumerate(args):
            if word == "--":
                return [*out, *args[i:]]
            before = out[-1] if out else ""
            if before in valued and word[:1] == "-" != word and word.partition("=")[0] not in known:
                out[-1] = f"{before}={word}"
            else:
                out.append(word)
        return out

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            listed = ", ".join(map(str, action.choices))
            there = meant(value, action.choices, "there")
            raise argparse.ArgumentError(action, f"{value!r} is none of its values; {there} are {listed}")
