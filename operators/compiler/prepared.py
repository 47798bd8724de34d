"""Optimised code of the slow library loops, shipped with the program: the first query of a machine waits for them.

Numba takes seconds to such a loop's intermediate code, and LLVM another one to optimise it; both are the same on every
machine of an architecture, and what is left is the choice of its instructions. ``python -m operators.compiler`` writes
it anew; code of another state of the sources, or of another LLVM, is not used.
"""

from __future__ import annotations

import sys
from pathlib import Path

from operators.compiler.targets import Target

FOLDER = Path(__file__).with_name("prepared_code")

SUFFIX = ".ll.zst"


def file_name(name: str, target: Target) -> str:
    """The file name of a loop's code for the machines of this architecture."""
    return f"{name}.{target.architecture}{SUFFIX}"


def code_of(name: str, digest: str, target: Target, folder: Path = FOLDER) -> str | None:
    """The optimised code of the loop ``name`` with this digest; None if it is not there, damaged, or of another
    LLVM."""
    path = folder / file_name(name, target)
    if not path.is_file():
        return None
    import zstandard

    try:
        text = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()
    except (zstandard.ZstdError, UnicodeDecodeError):
        return None
    first, _, code = text.partition("\n")
    return code if first == _first_line(digest) else None


def packed(digest: str, code: str) -> bytes:
    """The file of the ``code`` of a loop with this digest."""
    import zstandard

    text = f"{_first_line(digest)}\n{made_by()}\n{code}"
    return zstandard.ZstdCompressor(level=19, write_checksum=True).compress(text.encode())


def made_by() -> str:
    """The second line: what the code depends on, though not what it computes."""
    import numba

    return f"; Numba {numba.__version__}, Python {sys.version_info[0]}.{sys.version_info[1]}"


def _first_line(digest: str) -> str:
    import llvmlite.binding as llvm

    return f"; {digest} LLVM {llvm.llvm_version_info[0]}"
