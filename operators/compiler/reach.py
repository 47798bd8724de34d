"""The source code that a kernel reaches, which determines its machine code and its digest.

It is read from the source text: the definition of a name, and of every name used there, across modules. Comments,
docstrings and annotations are left out, since machine code does not depend on them. Imports from elsewhere (NumPy,
math) count by name; the compiler's versions are part of the file name (``targets``).
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

OURS = frozenset({"operators", "dataflow", "runtime", "deploy"})
"""The packages of this program, in one folder."""

_IGNORED = frozenset({"annotation", "ctx", "kind", "returns", "type_comment", "type_ignores", "type_params"})


def digests(folders: list[Path], root: Path) -> dict[str, str]:
    """The digest of the code that each function reaches, by ``module:name``, for modules in ``folders`` that declare
    compiled functions by a decorator or a call at top level.

    Module names are relative to ``root``; imports of this program's packages are followed.
    """
    program = _Program(root)
    found = {}
    for path in sorted({p for folder in folders for p in folder.rglob("*.py")}):
        module = program.module(name_of(path, root))
        if module is None or b"\n@" not in module.data:
            continue
        for name, statements in module.bound.items():
            if any(isinstance(s, ast.FunctionDef) or _is_made(s) for s in statements):
                found[f"{module.name}:{name}"] = program.digest(module, name)
    return found


def digest_of(names: Sequence[tuple[str, str]], root: Path) -> str:
    """The digest of the code that several names reach, each a module and a top-level name (empty: the whole module).

    KeyError for an unknown name.
    """
    program, found = _Program(root), hashlib.sha256()
    for module, name in names:
        start = program.module(module)
        if start is None or (name and name not in start.bound):
            raise KeyError(f"{module}:{name}")
        found.update(program.digest(start, name).encode())
    return found.hexdigest()


def names_of(module: str, name: str, root: Path) -> set[tuple[str, str]]:
    """The definitions that a top-level name reaches, including itself: modules and names."""
    program = _Program(root)
    start = program.module(module)
    if start is None or name not in start.bound:
        raise KeyError(f"{module}:{name}")
    return set(program.reach(start, name))


def _is_made(statement: ast.stmt) -> bool:
    """Whether a statement binds a name to the result of a call, which may be a function."""
    return isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Call)


def name_of(path: Path, root: Path) -> str:
    """The module's name relative to ``root``."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


class _Module:
    """The top level of one module: the statements and imports that bind each name."""

    def __init__(self, name: str, data: bytes, is_package: bool) -> None:
        self.name, self.data, self.is_package = name, data, is_package

    @cached_property
    def tree(self) -> list[ast.stmt]:
        """All statements."""
        return ast.parse(self.data).body

    @cached_property
    def _lines(self) -> list[bytes]:
        return self.data.splitlines()

    def may_import(self, statement: ast.stmt) -> bool:
        """Whether the text of a statement has the word; looking is faster than a walk through all nodes."""
        return any(b"import" in line for line in self._lines[statement.lineno - 1 : statement.end_lineno])

    @cached_property
    def bound(self) -> dict[str, list[ast.stmt]]:
        """The top-level statements that bind each name, without imports."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in self.tree:
            if not isinstance(statement, ast.Import | ast.ImportFrom):
                for name in _names_bound(statement):
                    found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """The target of each imported name: a module and a name in it (empty: the module itself)."""
        return dict(_imports(self.tree, self))


_Used: TypeAlias = list[tuple[_Module, str]]


class _Program:
    """The modules below ``root``, parsed on first use."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._modules: dict[str, _Module | None] = {}
        self._parts: dict[tuple[str, str], tuple[str, _Used]] = {}

    def module(self, name: str) -> _Module | None:
        """The module of this name; None if it is not one of this program's."""
        if name not in self._modules and name.partition(".")[0] not in OURS:
            self._modules[name] = None
        if name not in self._modules:
            base = self.root.joinpath(*name.split("."))
            path = next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
            read = None if path is None else path.read_bytes()
            self._modules[name] = None if read is None else _Module(name, read, path == base / "__init__.py")
        return self._modules[name]

    def digest(self, module: _Module, name: str) -> str:
        """SHA-256 over the definitions that ``name`` reaches."""
        parts = "\0".join(f"{m}:{n}\0{text}" for (m, n), text in sorted(self.reach(module, name).items()))
        return hashlib.sha256(parts.encode()).hexdigest()

    def reach(self, module: _Module, name: str) -> dict[tuple[str, str], str]:
        """The canonical texts of the definitions that ``name`` reaches, by module and name."""
        waiting, seen = [(module, name)], dict[tuple[str, str], str]()
        while waiting:
            at, wanted = waiting.pop()
            key = at.name, wanted
            if key not in seen:
                seen[key], used = self._part(at, wanted)
                waiting += used
        return seen

    def _part(self, module: _Module, name: str) -> tuple[str, _Used]:
        """The canonical text of one definition (of the module if the name is empty), and the names that it uses."""
        key = module.name, name
        if key not in self._parts:
            nodes = module.bound.get(name, []) if name else module.tree
            scope = {**module.imports, **dict(_imports(nodes, module))}
            used: _Used = []
            external: set[str] = set()
            for read, attribute in sorted(_names_read(nodes)):
                if read in scope:
                    self._follow(*scope[read], attribute, used, external)
                elif read in module.bound:
                    used.append((module, read))
            self._parts[key] = "\0".join([*map(_canonical, nodes), *sorted(external)]), used
        return self._parts[key]

    def _follow(self, name: str, member: str, attribute: str, used: _Used, external: set[str]) -> None:
        """Add the target of ``member`` of the module ``name``; for a module, only the ``attribute`` that is read."""
        inside = self.module(name) if member else None
        whole = self.module(f"{name}.{member}") if member else self.module(name)
        if inside is not None and member in inside.bound:
            used.append((inside, member))
        elif whole is not None:
            used.append((whole, attribute if attribute in whole.bound else ""))
        elif inside is not None and member in inside.imports:
            self._follow(*inside.imports[member], attribute, used, external)
        else:
            external.add(f"{name}.{member}")


def _names_bound(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        yield statement.name
        return
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def _names_read(nodes: list[ast.stmt]) -> set[tuple[str, str]]:
    """The names read by compiled code, each with the attribute read from it, if any.

    Decorators are left out: they only say how code is compiled.
    """
    found, waiting = set(), list[ast.AST](nodes)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add((node.value.id, node.attr))
            continue
        if isinstance(node, ast.Name):
            found.add((node.id, ""))
        for field, value in ast.iter_fields(node):
            if field not in _IGNORED and field != "decorator_list":
                waiting += [v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST)]
    return found


def _imports(nodes: list[ast.stmt], module: _Module) -> Iterator[tuple[str, tuple[str, str]]]:
    for node in (n for statement in nodes if module.may_import(statement) for n in ast.walk(statement)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.asname or alias.name.partition(".")[0], (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = module.name.split(".")[: None if module.is_package and node.level == 1 else -node.level]
                base = ".".join([*up, *([base] if base else [])])
            for alias in node.names:
                yield alias.asname or alias.name, (base, alias.name)


def _canonical(node: object) -> str:
    """A text that is equal for equal code, in every Python version."""
    if isinstance(node, list):
        return "[" + ",".join(_canonical(n) for n in node if not _is_text(n)) + "]"
    if isinstance(node, ast.AST):
        fields = ((f, v) for f, v in ast.iter_fields(node) if f not in _IGNORED and v is not None and v != [])
        return f"{type(node).__name__}({','.join(f'{f}={_canonical(v)}' for f, v in fields)})"
    return f"{type(node).__name__} {node!r}"


def _is_text(node: object) -> bool:
    """Whether a statement is a docstring or another bare string."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
