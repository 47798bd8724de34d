"""zstd for compiled loops: the addresses of two functions of the C library, and one context per thread.

The wheels of ``zstandard`` contain the library twice; the copy for cffi exports its functions. Without it, the system's
libzstd is used; without that, the loop calls back the package's methods: slower, with the same bytes.
"""

from __future__ import annotations

import ctypes
import sysconfig
import weakref
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

_WORD = ctypes.c_int64
_DECOMPRESS = ctypes.CFUNCTYPE(_WORD, _WORD, _WORD, _WORD, _WORD, _WORD)
_FRAME_SIZE = ctypes.CFUNCTYPE(_WORD, _WORD, _WORD)
_OLDEST = 10405
"""The oldest version (1.4.5) that is trusted to check everything it decodes."""


@dataclass(frozen=True)
class _Library:
    """``decompress(context, to, capacity, from, size)`` and ``frame_size(from, size)`` return a size, or a negative
    number (an error, as C's size_t). ``handle`` keeps them loaded and makes contexts, if contexts are needed."""

    decompress: int
    frame_size: int
    handle: Any
    has_contexts: bool


def _exported(path: str) -> _Library | None:
    try:
        found = ctypes.CDLL(path)
        version = int(found.ZSTD_versionNumber())
        addresses = [
            ctypes.cast(getattr(found, name), ctypes.c_void_p).value
            for name in ("ZSTD_decompressDCtx", "ZSTD_findFrameCompressedSize")
        ]
        found.ZSTD_createDCtx.restype = ctypes.c_void_p
        found.ZSTD_freeDCtx.argtypes = [ctypes.c_void_p]
    except (OSError, AttributeError):
        return None
    if version < _OLDEST or addresses[0] is None or addresses[1] is None:
        return None
    return _Library(addresses[0], addresses[1], found, True)


def called_back() -> _Library:
    """The library through the ``zstandard`` package's methods."""

    def decompress(context: int, to: int, capacity: int, source: int, size: int) -> int:
        try:
            out = zstandard.ZstdDecompressor().decompress(ctypes.string_at(source, size), allow_extra_data=False)
        except zstandard.ZstdError:
            return -1
        if len(out) > capacity:
            return -1
        ctypes.memmove(to, out, len(out))
        return len(out)

    def frame_size(source: int, size: int) -> int:
        # ``decompress`` itself rejects bytes after a frame.
        return size

    functions = (_DECOMPRESS(decompress), _FRAME_SIZE(frame_size))
    first, second = (ctypes.cast(f, ctypes.c_void_p).value for f in functions)
    assert first is not None
    assert second is not None
    return _Library(first, second, functions, False)


@cache
def library() -> _Library:
    """The first of the three that is available."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX") or ".so"
    home = Path(zstandard.__file__).parent
    paths = [str(p) for p in (home / f"_cffi{suffix}", *sorted(home.glob("_cffi*.so"))) if p.exists()]
    if not paths:
        import ctypes.util  # its import searches libraries by running compilers

        system = ctypes.util.find_library("zstd")
        paths = [system] if system else []
    for path in paths:
        if (found := _exported(path)) is not None:
            return found
    return called_back()


class ZstdContext:
    """One thread's decompression context. ``words`` (int64) are passed to loops: the functions and the context."""

    def __init__(self, of: _Library | None = None) -> None:
        self._library = of or library()
        context = 0
        if self._library.has_contexts:
            handle = self._library.handle
            context = int(handle.ZSTD_createDCtx() or 0)
            if not context:
                raise MemoryError("zstd could not make a context")
            # Not at the end of the process, when daemon threads may be in the midst of a block.
            weakref.finalize(self, handle.ZSTD_freeDCtx, context).atexit = False
        self.words: NDArray[np.int64] = np.array(
            [self._library.decompress, self._library.frame_size, context], np.uint64
        ).view(np.int64)
