"""The types of loops, from signatures in Numba's notation."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SIGNATURE = re.compile(r"\s*(void|[a-z]\d)\s*\((.*)\)\s*$")
_ARGUMENT = re.compile(r"([iufb])(\d)(?:\[((?::,)*)::1\])?$")


@dataclass(frozen=True)
class Argument:
    """One argument of a loop: ``size`` bytes an item, ``dimensions`` 0 for an integer."""

    size: int
    dimensions: int


def arguments_of(signature: str) -> tuple[str, tuple[Argument, ...]]:
    """The result type and the arguments of a signature like ``i8(i8[::1], u1[:,::1], i8)``."""
    match = _SIGNATURE.match(signature)
    if match is None:
        raise ValueError(f"{signature!r} is not the type of a loop")
    out = []
    for text in re.findall(r"[a-z]\d(?:\[[^\]]*\])?", match[2]):
        found = _ARGUMENT.match(text)
        if found is None or (found[3] is None and found[1] == "f"):
            raise ValueError(f"{text} cannot be an argument of a loop")
        out.append(Argument(int(found[2]), 0 if found[3] is None else found[3].count(":") + 1))
    return match[1], tuple(out)
