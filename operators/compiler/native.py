"""Compiled loops as shared objects: made once with Numba and the system's C linker, loaded with ctypes, without Numba.

A loop of the type that a signature in Numba's notation says is compiled as ever. What is added to its module is one
more function, ``run``, which takes everything in one array of 64-bit words: for each array its address and its shape
(all are C-contiguous), for each scalar its value. It returns the loop's result and leaves the loop's status in word 0.
The compiled function's own arguments are those of Numba's calling convention: a place for the result, one for an
exception, and each array as owner, parent, number of items, size of an item, address, shape and strides.
"""

from __future__ import annotations

import array
import ctypes
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_SIGNATURE = re.compile(r"\s*(void|[a-z]\d)\s*\((.*)\)\s*$")
_ARGUMENT = re.compile(r"([iufb])(\d)(?:\[((?::,)*)::1\])?$")

# What the runtime of Numba would be asked for if arrays had owners; none of those given to a loop has.
_STUB = "void NRT_MemInfo_call_dtor(void *owner) { (void)owner; __builtin_trap(); }\n"


@dataclass(frozen=True)
class Argument:
    """One argument of a loop: ``size`` bytes an item, ``dimensions`` 0 for an integer."""

    size: int
    dimensions: int


def arguments_of(signature: str) -> tuple[str, tuple[Argument, ...]]:
    """The result's type and the arguments of a signature such as ``i8(i8[::1], u1[:,::1], i8)``."""
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


class Native:
    """A loop in a shared object; called with numpy arrays and integers. Holds no GIL while it runs."""

    def __init__(self, path: Path, signature: str) -> None:
        self.path = path
        self._library = ctypes.CDLL(str(path))
        self._run = self._library.run
        self._run.argtypes, self._run.restype = [ctypes.c_void_p], ctypes.c_int64
        result, self._arguments = arguments_of(signature)
        self._is_bool = result == "b1"

    def __call__(self, *args: Any) -> Any:
        """Call the loop once."""
        return self.caller()(*args)

    def caller(self) -> Callable[..., Any]:
        """A function that calls the loop for one thread. It keeps the last call's arguments, and looks up the address
        of just those arrays that are others than then, which is what most of a call's time goes into."""
        run, is_bool, name = self._run, self._is_bool, self.path.stem
        places, total = [], 1
        for a in self._arguments:
            places.append(total)
            total += 1 + a.dimensions
        words = array.array("q", bytes(8 * total))
        address = words.buffer_info()[0]
        last: list[Any] = [None] * len(places)

        def call(*args: Any) -> Any:
            if len(args) != len(last):
                raise TypeError(f"{name} takes {len(last)} arguments, got {len(args)}")
            for i, a in enumerate(args):
                if a is last[i]:
                    continue
                at = places[i]
                if isinstance(a, np.ndarray):
                    words[at] = a.__array_interface__["data"][0]
                    for n in a.shape:
                        at += 1
                        words[at] = n
                else:
                    words[at] = int(a)
                last[i] = a
            out = run(address)
            if words[0]:
                raise RuntimeError(f"{name} failed with status {words[0]}")
            return bool(out) if is_bool else out

        return call


def has_linker() -> bool:
    """Whether this machine has a C compiler to link with."""
    return _linker() is not None


def _linker() -> str | None:
    return next(
        (p for name in (os.environ.get("CC"), "cc", "gcc", "clang") if name and (p := shutil.which(name))), None
    )


def build(function: Callable[..., Any], signature: str, path: Path) -> None:
    """Compile ``function`` for this machine into the shared object ``path``, which appears whole or not at all.

    OSError where there is no linker, or it fails.
    """
    data = emitted(function, signature)
    linker = _linker()
    if linker is None:
        raise OSError("there is no C compiler (cc, gcc or clang) to link with")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".build-") as folder:
        work = Path(folder)
        (work / "loop.o").write_bytes(data)
        (work / "stub.c").write_text(_STUB)
        command = [linker, "-shared", "-fPIC", "-O1", "-o", "loop.so", "loop.o", "stub.c", "-lm"]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired as error:
            raise OSError(f"{linker} took longer than two minutes") from error
        if done.returncode:
            raise OSError(f"{linker} failed: {done.stderr.strip()[-500:]}")
        os.replace(work / "loop.so", path)


def emitted(function: Callable[..., Any], signature: str) -> bytes:
    """The object code of ``function`` and of the ``run`` that calls it."""
    import llvmlite.binding as llvm
    import numba
    from numba.core.compiler_lock import global_compiler_lock

    jitted: Any = numba.njit(signature, nogil=True, error_model="numpy", _nrt=False)(function)
    (compiled,) = jitted.overloads.values()
    symbol = compiled.fndesc.llvm_func_name
    text = _without_python(compiled.library.get_llvm_str())
    text += _run_function(symbol, *arguments_of(signature))
    with global_compiler_lock:
        module = llvm.parse_assembly(text)
        module.verify()
        machine = llvm.Target.from_default_triple().create_target_machine(
            cpu=llvm.get_host_cpu_name(),
            features=llvm.get_host_cpu_features().flatten(),
            opt=3,
            reloc="pic",
            codemodel="default",
        )
        return bytes(machine.emit_object(module))


def _without_python(text: str) -> str:
    """The module without the wrappers that Python would call, and with nothing but ``run`` to be seen from outside."""
    return re.sub(r'^define [^\n]*@"?(?:_ZN7cpython|cfunc\.)[^\n]*\{\n.*?^\}\n', "", text, flags=re.M | re.S)


def _run_function(symbol: str, result: str, arguments: tuple[Argument, ...]) -> str:
    """The text of ``run``."""
    lines: list[str] = []
    given: list[str] = []
    at = 1

    def word(kind: str = "i64") -> str:
        nonlocal at
        lines.append(f"  %p{at} = getelementptr i64, ptr %w, i64 {at}")
        lines.append(f"  %w{at} = load {kind}, ptr %p{at}, align 8")
        at += 1
        return f"%w{at - 1}"

    for a in arguments:
        if not a.dimensions:
            given.append(f"i64 {word()}")
            continue
        data = word("ptr")
        shape = [word() for _ in range(a.dimensions)]
        strides, step = [], str(a.size)
        for n in reversed(shape):
            strides.append(step)
            lines.append(f"  %s{len(lines)} = mul i64 {n}, {step}")
            step = f"%s{len(lines) - 1}"
        lines.append(f"  %n{at} = sdiv i64 {step}, {a.size}")
        given += ["ptr null", "ptr null", f"i64 %n{at}", f"i64 {a.size}", f"ptr {data}"]
        given += [f"i64 {n}" for n in shape] + [f"i64 {s}" for s in reversed(strides)]
    kind = {"b1": "i8", "void": "ptr"}.get(result, "i64")
    value = {"b1": "zext i8 %r to i64", "void": "add i64 0, 0"}.get(result, "add i64 %r, 0")
    return "\n".join(
        [
            "",
            "define i64 @run(ptr %w) {",
            f"  %out = alloca {kind}, align 8",
            "  %exception = alloca ptr, align 8",
            f"  store {kind} {'null' if kind == 'ptr' else '0'}, ptr %out, align 8",
            *lines,
            f'  %status = call i32 @"{symbol}"(ptr %out, ptr %exception, {", ".join(given)})',
            "  %wide = sext i32 %status to i64",
            "  store i64 %wide, ptr %w, align 8",
            f"  %r = load {kind}, ptr %out, align 8",
            f"  %v = {value}",
            "  ret i64 %v",
            "}",
            "",
        ]
    )
