"""From a loop to object code for a target.

Numba's intermediate code is taken before optimisation, since code optimised for one machine cannot be emitted for
another. A kernel's code is the same for all targets up to here; each target then optimises it separately.
"""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from operators.compiler.marks import CALLED_BY_LOOPS, NOINLINE, raw_code
from operators.compiler.signature import Argument, arguments_of
from operators.compiler.targets import Target


@lru_cache(maxsize=1)
def _library_class() -> type[Any]:
    from numba.core.codegen import JITCodeLibrary

    class Library(JITCodeLibrary):  # type: ignore[misc]
        """A module with everything that it calls, neither optimised nor loaded into this process."""

        def _optimize_functions(self, ll_module: Any) -> None:
            ll_module.data_layout = self._codegen._data_layout

        def finalize(self) -> None:
            self._raise_if_finalized()
            for library in dict.fromkeys(self._linking_libraries):
                self._final_module.link_in(library._get_module_for_linking(), preserve=True)
            self._final_module.verify()
            self._finalized = True

        def get_pointer_to_function(self, name: str) -> int:
            self._ensure_finalized()
            return 0

    return Library


@contextmanager
def _compiling_raw() -> Iterator[None]:
    """Inside, Numba optimises and loads nothing; other compiling threads wait."""
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.registry import cpu_target

    with global_compiler_lock, raw_code():
        context = cpu_target.target_context
        codegen = context.codegen()
        # Numba's own helpers are recompiled, too: the existing ones are optimised for this machine.
        helpers, context.cached_internal_func = context.cached_internal_func, {}
        codegen._library_class, codegen.set_env = _library_class(), lambda name, env: None
        try:
            yield
        finally:
            del codegen._library_class, codegen.set_env
            context.cached_internal_func = helpers


@contextmanager
def _uncollected() -> Iterator[None]:
    """Inside, garbage collection is off: a compilation makes millions of objects and few cycles; collecting took a
    tenth of the time."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def intermediate(function: Callable[..., Any], signature: str) -> str:
    """The intermediate code of ``function`` and of the ``run`` that calls it, independent of the target."""
    import numba

    with _compiling_raw():
        # Only ``run`` calls it.
        options = {"nogil": True, "error_model": "numpy", "_nrt": False, **CALLED_BY_LOOPS}
        with _uncollected():
            jitted: Any = numba.njit(signature, **options)(function)
        (compiled,) = jitted.overloads.values()
        text = _without_python(compiled.library.get_llvm_str())
    return text + _run_function(compiled.fndesc.llvm_func_name, *arguments_of(signature))


def emitted(code: str, target: Target) -> bytes:
    """The object code of the ``intermediate`` code of a loop."""
    import llvmlite.binding as llvm
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        machine = _machine(target)
        module = _module(code, machine)
        module.triple = target.triple or llvm.get_default_triple()
        module.verify()
        _optimise(module, machine)
        return bytes(machine.emit_object(module))


def optimised(code: str, target: Target) -> str:
    """The ``intermediate`` code of a loop, optimised for ``target``, for ``emitted_as_it_is``; the same whenever a new
    process makes it."""
    import llvmlite.binding as llvm
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        machine = _machine(target)
        module = _module(code, machine)
        _optimise(module, machine)
        passes = llvm.create_new_module_pass_manager()
        passes.add_strip_symbols_pass()
        passes.run(module, _pass_builder(machine))
        return str(module)


def emitted_as_it_is(code: str, target: Target) -> bytes:
    """The object code of the ``optimised`` code of a loop: for the target that it was optimised for, or a machine of
    that architecture, whose instructions are used where they are more."""
    import llvmlite.binding as llvm
    from numba.core.compiler_lock import global_compiler_lock

    with global_compiler_lock:
        machine = _machine(target)
        module = _module(code, machine)
        module.triple = target.triple or llvm.get_default_triple()
        module.verify()
        return bytes(machine.emit_object(module))


def _optimise(module: Any, machine: Any) -> None:
    builder = _pass_builder(machine)
    builder.getModulePassManager().run(module, builder)


def _pass_builder(machine: Any) -> Any:
    import llvmlite.binding as llvm

    tuning = llvm.create_pipeline_tuning_options(speed_level=3)
    tuning.loop_vectorization = tuning.slp_vectorization = True
    return llvm.create_pass_builder(machine, tuning)


def _module(code: str, machine: Any) -> Any:
    """The module of the text ``code``, which exports ``run`` alone."""
    import llvmlite.binding as llvm

    module = llvm.parse_assembly(code)
    module.data_layout = str(machine.target_data)
    for value in (*module.functions, *module.global_variables):
        # Copies of functions that are inlined everywhere are dropped, and so are names that Numba numbers in the order
        # of compilation.
        if not value.is_declaration and value.name != "run":
            value.linkage = "internal"
    for function in module.functions:
        if any(f"{len(name)}{name}B" in function.name for name in NOINLINE):
            function.add_function_attribute("noinline")
    return module


def _machine(target: Target) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    cpu, features = target.cpu, target.features
    if not target.triple:
        cpu, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    found = llvm.Target.from_triple(target.triple or llvm.get_default_triple())
    return found.create_target_machine(cpu=cpu, features=features, opt=3, reloc="pic", codemodel="default")


def _without_python(text: str) -> str:
    """The module without the wrappers for calls from Python."""
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
            # Inlined here, the loop was a tenth slower: its arguments came from memory that it may write to.
            f'  %status = call i32 @"{symbol}"(ptr %out, ptr %exception, {", ".join(given)}) noinline',
            "  %wide = sext i32 %status to i64",
            "  store i64 %wide, ptr %w, align 8",
            f"  %r = load {kind}, ptr %out, align 8",
            f"  %v = {value}",
            "  ret i64 %v",
            "}",
            "",
        ]
    )
