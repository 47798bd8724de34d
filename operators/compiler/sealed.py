"""Files of the kernel cache with a checksum at the end, verified before anything in them is run.

Machine code that is truncated or has one bit flipped crashes the process, hangs, or computes something else. The
checksum is in the same file, after the last byte that a loader reads (ELF and Mach-O address their content by offset, a
pickle marks its end). One rename replaces both, so they always belong to the same version. The checksum also covers the
file name: one kernel in place of another is as wrong as a damaged one.

It detects damage, not forgery: a user who may write to the cache may also write a checksum. Kernels from others are
signed (``runtime.query.kernel_store``).
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from operators import files
from operators.errors import Portable

MAX_BYTES = 64 << 20
"""The maximum size of a cached file; larger ones are not read."""

_MAGIC = b"ANTSEAL1"
_LENGTH = len(_MAGIC) + hashlib.sha256().digest_size


class Damaged(Portable, OSError):
    """A cached file that differs from what was written."""


def sealed(name: str, data: bytes) -> bytes:
    """``data`` as the content of the file ``name``, with its checksum."""
    return data + _MAGIC + _digest(name, data)


def write(path: Path, data: bytes, name: str | None = None) -> None:
    """Write a cached file durably; see ``files.put``. ``name`` is the name that the checksum covers, by default the
    file's."""
    files.put(sealed(path.name if name is None else name, data), path)


def read(path: Path, name: str | None = None) -> bytes:
    """The content without its checksum; Damaged if it differs from what was written, OSError if it cannot be read."""
    with files.reader(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise Damaged(errno.EFBIG, "it is larger than any file of the kernel cache", str(path))
        content = file.read(MAX_BYTES + 1)
    data, seal = content[:-_LENGTH], content[-_LENGTH:]
    if seal != _MAGIC + _digest(path.name if name is None else name, data):
        raise Damaged(errno.EIO, "it is damaged: its checksum does not match", str(path))
    return data


def is_whole(path: Path) -> bool:
    """Whether ``read`` would return its content."""
    try:
        read(path)
    except OSError:
        return False
    return True


def _digest(name: str, data: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(data)
    return digest.digest()
