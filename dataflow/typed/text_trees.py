"""Texts that are computed from texts: how deep, and which of them can be worked out before a kernel runs."""

from __future__ import annotations

from dataflow.typed.nodes import Typed
from operators.types import Type

MOST_LEVELS = 64
"""Functions of texts within each other."""

ONE_TEXT = frozenset(
    {
        "lower", "upper", "strip", "length", "substring", "split", "replace", "ends_with", "like", "number",
        "parse_time", "extract", "hash", "affix", "read",
    }
)  # fmt: skip
"""Functions of one text; the last two only validation makes: a text between two constants, and a cast."""


_OF_PARTS = frozenset({"merged", "as_of", "track"})
"""Values that other chains of steps have made, perhaps by functions of texts: of fewer than half of the levels."""


def level_of(e: Typed) -> int:
    """How many functions, one within the other, the words of ``e`` have come from."""
    if e.fn in _OF_PARTS:
        return MOST_LEVELS // 2
    deepest = max(map(level_of, e.args), default=0)
    return deepest + 1 if e.type is Type.STRING and (e.fn in ONE_TEXT or e.fn == "joined") else deepest


def is_tree(e: Typed) -> bool:
    """Whether the text is a column, the key or a constant, or made of these by functions of texts."""
    if e.fn in ("in", "slot", "lit"):
        return e.type is Type.STRING
    return (e.fn in ONE_TEXT or e.fn == "joined") and e.type is Type.STRING and all(map(is_tree, e.args))


def together(a: Typed, b: Typed) -> Typed:
    """The text ``a`` followed by ``b``."""
    if a.fn == "lit" and b.fn == "lit":
        return Typed("lit", Type.STRING, (), (("value", f"{_text(a)}{_text(b)}"),))
    if a.fn == "lit" or b.fn == "lit":
        before, of, after = (_text(a), b, "") if a.fn == "lit" else ("", a, _text(b))
        if of.fn == "affix":
            before, after = f"{before}{of.option('prefix')}", f"{of.option('suffix')}{after}"
            (of,) = of.args
        return Typed("affix", Type.STRING, (of,), (("prefix", before), ("suffix", after)))
    return Typed("joined", Type.STRING, (a, b))


def _text(e: Typed) -> str:
    return str(e.option("value"))
