"""Numba's own cache on disk, with a checksum at the end of each of its files.

The files are pickles with machine code: nothing is read before the checksum is verified. A damaged file counts as
absent, so the loop is compiled again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from operators.compiler import sealed


def jitted(function: Callable[..., Any], signature: str, keep: bool) -> Callable[..., Any]:
    """The function, compiled by Numba for this process; with ``keep`` from the cache folder if present.

    The caller holds Numba's compiler lock and has set ``numba.config.CACHE_DIR``.
    """
    import numba
    from numba.core.typeinfer import register_dispatcher

    jit: Any = numba.njit(nogil=True, error_model="numpy", _nrt=False)(function)
    if keep:
        jit._cache = _cache_class()(function)
    with register_dispatcher(jit):
        jit.compile(signature)
        jit.disable_compile()
    compiled: Callable[..., Any] = jit
    return compiled


@lru_cache(maxsize=1)
def _cache_class() -> type[Any]:
    from numba.core.caching import FunctionCache, IndexDataCacheFile

    class CacheFiles(IndexDataCacheFile):  # type: ignore[misc]
        """An index and its data files."""

        def _seal_name(self, path: str) -> str:
            # With the time of the source, so that data of an older one is not taken for the index's.
            return f"{Path(path).name} {self._source_stamp}"

        def _is_whole(self, path: str) -> bool:
            try:
                sealed.read(Path(path), self._seal_name(path))
            except OSError:
                return False
            return True

        def _load_index(self) -> Any:
            return super()._load_index() if self._is_whole(self._index_path) else {}

        def _load_data(self, name: str) -> Any:
            # None: no data. The pickle ends before the checksum.
            return super()._load_data(name) if self._is_whole(self._data_path(name)) else None

        def save(self, key: Any, data: Any) -> None:
            # Data first: if the process stops in between, the index names only existing files.
            found = self._load_index()
            taken = set(found.values())
            names = (self._data_name(number) for number in range(1, len(taken) + 2))
            name = found.setdefault(key, next(n for n in names if n not in taken))
            self._save_data(name, data)
            self._save_index(found)

        @contextmanager
        def _open_for_write(self, filepath: str) -> Iterator[io.BytesIO]:
            content = io.BytesIO()
            yield content
            sealed.write(Path(filepath), content.getvalue(), self._seal_name(filepath))

    class Cache(FunctionCache):  # type: ignore[misc]
        """The cache of one function."""

        def __init__(self, function: Callable[..., Any]) -> None:
            super().__init__(function)
            impl = self._impl
            self._cache_file = CacheFiles(self._cache_path, impl.filename_base, impl.locator.get_source_stamp())

    return Cache
