"""Emits functions of texts: worked out once per word of a task's dictionary, and looked up by its code."""

from __future__ import annotations

from collections.abc import Mapping

from dataflow.codegen.emitter import Emitter, Value, source
from dataflow.codegen.writer import I8, U1, TextFunction, value_array
from dataflow.expressions.functions import Function, hash_rule, takes
from dataflow.typed.nodes import Typed
from dataflow.typed.text_trees import level_of
from operators.types import Type

OF_WORDS: Mapping[str, Function] = {
    "lower": Function(1, takes(Type.STRING, Type.STRING)),
    "upper": Function(1, takes(Type.STRING, Type.STRING)),
    "strip": Function(1, takes(Type.STRING, Type.STRING)),
    "length": Function(1, takes(Type.STRING, Type.INT)),
    "substring": Function(1, takes(Type.STRING, Type.STRING), ("start",), {"count": None}),
    "split": Function(1, takes(Type.STRING, Type.STRING), ("index", "separator")),
    "replace": Function(1, takes(Type.STRING, Type.STRING), ("new", "old")),
    "ends_with": Function(1, takes(Type.STRING, Type.BOOL), ("suffix",)),
    "like": Function(1, takes(Type.STRING, Type.BOOL), ("pattern",)),
    "hash": Function(1, hash_rule),
    "extract": Function(1, takes(Type.STRING, Type.STRING), ("pattern",)),
    "number": Function(1, takes(Type.STRING, Type.FLOAT), ("decimal", "thousands")),
    "parse_time": Function(1, takes(Type.STRING, Type.TIME), ("format", "zone")),
}
"""The functions of one text, with their types."""


@source("affix", "read", **OF_WORDS)
def word_source(x: Emitter, e: Typed) -> Value:
    """A function of one text; null where it has no value for the word."""
    v, k = x.emit(e.args[0])
    if e.args[0].type is Type.INT:
        return x.name(f"hash_of_integer({v})", k)
    values, valid = word_table(x, e)
    known, _ = x.name(f"{valid}[{v}] != 0" if k == "True" else f"{valid}[{v}] != 0 if {k} else False", "True")
    found = f"{values}[{v}] if {known} else {'0.0' if e.type is Type.FLOAT else 'np.int64(0)'}"
    return x.name(f"({found}) != 0" if e.type is Type.BOOL else found, known)


def word_table(x: Emitter, e: Typed) -> tuple[str, str]:
    """The arguments with the values of a function of one text by code, and their validities."""
    assert e.type is not None
    tables = x.w.tables.words
    wanted = TextFunction(e.fn, e.options, e.type, level_of(e.args[0]))
    if wanted not in tables:
        tables.append(wanted)
    j = tables.index(wanted)
    return x.w.arg(f"word{j}_v", value_array(e.type), "word", j), x.w.arg(f"word{j}_k", U1, "word_valid", j)


@source("joined")
def joined_source(x: Emitter, e: Typed) -> Value:
    """Two texts as one, worked out before the kernel runs over the rows."""
    trees = x.w.tables.joined
    if e not in trees:
        trees.append(e)
    j = trees.index(e)
    values, valid = x.w.arg(f"joined{j}_v", I8, "joined", j), x.w.arg(f"joined{j}_k", U1, "joined_valid", j)
    return x.name(f"{values}[u]", f"{valid}[u] != 0")
