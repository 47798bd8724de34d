"""Partial states as bytes: a JSON head and typed arrays, checksummed; never executed."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.groups import GroupState
from operators.types import Type
from runtime.errors import FormatError
from runtime.query.merge.state_form import with_prefix
from runtime.query.stages.query_table import QueryTable
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial

_MAGIC = b"ANTPART2"
_ALLOWED = {"int64", "float64", "uint8", "int32"}


def pack(partial: Partial, request: str = "") -> bytes:
    """``partial`` as bytes; ``request`` is the digest of the request (``task.request_digest``)."""
    arrays: dict[str, NDArray[Any]] = {}
    head: dict[str, Any] = {
        "task": partial.task,
        "request": request,
        "coverage": partial.coverage.to_dict(),
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
    """The content of ``sealed`` bytes; FormatError naming ``what`` if they are malformed."""
    body = data[40:]
    if data[:8] != magic or hashlib.sha256(body).digest() != data[8:40]:
        raise FormatError(f"{what} is damaged or truncated")
    size = int.from_bytes(body[:8], "little")
    try:
        head = json.loads(body[8 : 8 + size])
        with zipfile.ZipFile(io.BytesIO(body[8 + size :])) as found:
            arrays = {name.removesuffix(".npy"): _array(found.read(name)) for name in found.namelist()}
    except Exception as error:  # a dozen kinds: zip files, members' headers, impossible sizes
        raise FormatError(f"{what} has a valid checksum but is malformed: {type(error).__name__}: {error}") from None
    if not isinstance(head, dict):
        raise FormatError(f"{what} has no head")
    if any(a.dtype.name not in _ALLOWED for a in arrays.values()):
        raise FormatError(f"{what} has unexpected types")
    return head, arrays


def _array(data: bytes) -> NDArray[Any]:
    """An array in numpy's format, as ``numpy.load`` reads it; but a header that was read before is not parsed again,
    which takes most of the time for small states."""
    if data[:8] != b"\x93NUMPY\1\0":
        raise ValueError("no array of numpy's format 1.0")
    start = 10 + int.from_bytes(data[8:10], "little")
    shape, by_columns, kind = _header(data[8:start])
    values = np.frombuffer(data, kind, prod(shape), start)
    return values.reshape(shape, order="F" if by_columns else "C").copy()


@lru_cache(maxsize=512)
def _header(data: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    shape, by_columns, kind = np.lib.format.read_array_header_1_0(io.BytesIO(data))
    if kind.hasobject or any(n < 0 for n in shape):
        raise ValueError("an array of objects, or of a negative size")
    return shape, by_columns, kind


def unpack(data: bytes, task: str, request: str = "") -> Partial:
    """The partial state of ``task``; FormatError naming the task if the bytes are malformed.

    That includes a reply to another ``request``. The arrays are those of some state; ``state_form.check_form`` checks
    that they fit the plan.
    """
    head, arrays = unsealed(_MAGIC, data, f"the reply of task {task}")
    try:
        return _partial(head, arrays, task, request)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"the reply of task {task} has no valid partial state ({type(error).__name__}: {error})"
        ) from None


def _partial(head: Mapping[str, Any], arrays: dict[str, NDArray[Any]], task: str, request: str) -> Partial:
    if head["task"] != task:
        raise FormatError(f"the reply of task {task} belongs to another task")
    if head["request"] != request:
        raise FormatError(f"the reply of task {task} belongs to another request, or to one that was altered in transit")
    coverage = Coverage.from_dict(head["coverage"])
    kernels, strings, tally = tuple(head["kernels"]), strings_of(head["strings"]), tuple(head["tally"])
    if any(type(k) is not str for k in kernels):
        raise ValueError("kernels are not digests")
    if any(type(n) is not int or n < 0 for n in tally):
        raise ValueError("the tally is malformed")
    if head["kind"] == "groups":
        count = head["states"]
        if type(count) is not int or not 0 <= count <= len(arrays):
            raise ValueError("the number of states is malformed")
        states = [with_prefix(arrays, f"state.{j}.") for j in range(count)]
        return Partial(task, GroupState(arrays["keys"], states, strings), None, coverage, kernels, tally, True)
    columns = {
        name: (Type(kind), arrays[f"values.{j}"], arrays[f"valid.{j}"])
        for j, (name, kind) in enumerate(head["columns"])
    }
    return Partial(task, None, QueryTable(head["rows"], columns, strings), coverage, kernels, tally, True)


def strings_of(head: Any) -> list[str]:
    """A dictionary of distinct strings in a head; ValueError if it is malformed."""
    if not isinstance(head, list) or any(type(s) is not str for s in head) or len(set(head)) != len(head):
        raise ValueError("the dictionary is not a list of distinct strings")
    return head
