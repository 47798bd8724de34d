"""Partial states as bytes: a JSON head and typed arrays, checksummed. Nothing in them is ever executed."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.grouping import GroupState
from operators.types import Type
from runtime.errors import FormatError
from runtime.query.runner import with_prefix
from runtime.query.scan import Coverage
from runtime.query.table import Table
from runtime.query.task import Partial

_MAGIC = b"ANTPART2"
_ALLOWED = {"int64", "float64", "uint8", "int32"}


def pack(partial: Partial) -> bytes:
    """``partial`` as bytes."""
    arrays: dict[str, NDArray[Any]] = {}
    head: dict[str, Any] = {
        "task": partial.task,
        "coverage": asdict(partial.coverage),
        "kernels": list(partial.kernels),
        "tally": list(partial.tally),
    }
    if partial.groups is not None:
        arrays["keys"] = partial.groups.keys
        for j, state in enumerate(partial.groups.states):
            arrays |= {f"state.{j}.{name}": values for name, values in state.items()}
        head |= {"kind": "groups", "states": len(partial.groups.states), "strings": partial.groups.strings}
    else:
        assert partial.table is not None
        head |= {"kind": "table", "strings": partial.table.strings, "rows": partial.table.rows}
        head["columns"] = [[n, t.value] for n, (t, _, _) in partial.table.columns.items()]
        for j, (_, values, valid) in enumerate(partial.table.columns.values()):
            arrays |= {f"values.{j}": values, f"valid.{j}": valid}
    return sealed(_MAGIC, head, arrays)


def sealed(magic: bytes, head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A JSON head and typed arrays after eight bytes of ``magic`` and their SHA-256."""
    body = io.BytesIO()
    text = json.dumps(head, separators=(",", ":")).encode()
    body.write(len(text).to_bytes(8, "little") + text)
    np.savez(body, **arrays)  # type: ignore[arg-type]
    data = body.getvalue()
    return magic + hashlib.sha256(data).digest() + data


def unsealed(magic: bytes, data: bytes, what: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What was ``sealed``; FormatError naming ``what`` if the bytes are not what they should be."""
    body = data[40:]
    if data[:8] != magic or hashlib.sha256(body).digest() != data[8:40]:
        raise FormatError(f"{what} is damaged or truncated")
    size = int.from_bytes(body[:8], "little")
    try:
        head = json.loads(body[8 : 8 + size])
        with np.load(io.BytesIO(body[8 + size :]), allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
    except Exception as error:  # a dozen kinds: of zip files, of their members' heads, of sizes that cannot be
        raise FormatError(f"{what} is not what its checksum was made of: {type(error).__name__}: {error}") from None
    if not isinstance(head, dict):
        raise FormatError(f"{what} has no head")
    if any(a.dtype.name not in _ALLOWED for a in arrays.values()):
        raise FormatError(f"{what} holds foreign types")
    return head, arrays


def unpack(data: bytes, task: str) -> Partial:
    """The partial state of ``task``; FormatError naming the task if the bytes are not what they should be."""
    head, arrays = unsealed(_MAGIC, data, f"the reply of task {task}")
    try:
        return _partial(head, arrays, task)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"the reply of task {task} holds no partial state ({type(error).__name__}: {error})"
        ) from None


def _partial(head: Mapping[str, Any], arrays: dict[str, NDArray[Any]], task: str) -> Partial:
    if head["task"] != task:
        raise FormatError(f"the reply of task {task} is that of another task")
    coverage = Coverage(**head["coverage"])
    kernels = tuple(head["kernels"])
    tally = tuple(int(n) for n in head["tally"])
    if head["kind"] == "groups":
        states = [with_prefix(arrays, f"state.{j}.") for j in range(head["states"])]
        return Partial(task, GroupState(arrays["keys"], states, head["strings"]), None, coverage, kernels, tally)
    columns = {
        name: (Type(kind), arrays[f"values.{j}"], arrays[f"valid.{j}"])
        for j, (name, kind) in enumerate(head["columns"])
    }
    return Partial(task, None, Table(head["rows"], columns, head["strings"]), coverage, kernels, tally)
