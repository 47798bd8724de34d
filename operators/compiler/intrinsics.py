"""The machine code of ``operators.kernels.foreign``: loads, calls by address. Imported only to compile."""

from __future__ import annotations

from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_WORD = ir.IntType(64)


@intrinsic
def _word_at(typing: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(builder.inttoptr(args[0], _WORD.as_pointer()), align=1, typ=_WORD)

    return types.int64(types.int64), code


@intrinsic
def _put_word(typing: Any, address: Any, word: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[1], builder.inttoptr(args[0], _WORD.as_pointer()), align=1)
        return args[1]

    return types.int64(types.int64, types.int64), code


def _called(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    # The C calling conventions of all 64-bit targets pass integers and addresses alike.
    kind = ir.FunctionType(_WORD, [_WORD] * (len(args) - 1))
    return builder.call(builder.inttoptr(args[0], kind.as_pointer()), args[1:])


@intrinsic
def _call_2(typing: Any, function: Any, a: Any, b: Any) -> Any:
    return types.int64(*[types.int64] * 3), _called


@intrinsic
def _call_5(typing: Any, function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    return types.int64(*[types.int64] * 6), _called


@intrinsic
def _prefetch(typing: Any, address: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        byte = ir.IntType(8).as_pointer()
        whole = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, whole, whole, whole])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # For a write, high locality, data cache.
        builder.call(function, [builder.inttoptr(args[0], byte), whole(1), whole(3), whole(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


@intrinsic
def _square_root(typing: Any, x: Any) -> Any:
    def code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        double = ir.DoubleType()
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(double, [double]), "llvm.sqrt.f64")
        return builder.call(function, args)

    return types.float64(types.float64), code


@numba.njit
def word_at(address: Any) -> Any:
    """See ``foreign.word_at``."""
    return _word_at(address)


@numba.njit
def put_word(address: Any, word: Any) -> Any:
    """See ``foreign.put_word``."""
    return _put_word(address, word)


@numba.njit
def call_2(function: Any, a: Any, b: Any) -> Any:
    """See ``foreign.call_2``."""
    return _call_2(function, a, b)


@numba.njit
def call_5(function: Any, a: Any, b: Any, c: Any, d: Any, e: Any) -> Any:
    """See ``foreign.call_5``."""
    return _call_5(function, a, b, c, d, e)


@numba.njit
def address_of(array: Any) -> Any:
    """See ``foreign.address_of``."""
    return array.ctypes.data


@numba.njit
def prefetch(address: Any) -> None:
    """See ``foreign.prefetch``."""
    _prefetch(address)


@numba.njit
def square_root(x: Any) -> Any:
    """See ``foreign.square_root``."""
    return _square_root(x)
