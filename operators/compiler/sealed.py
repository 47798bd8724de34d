"""Files of the kernel cache with a checksum at their end, which is checked before anything in them is run.

Machine code that was cut short or has one bit flipped ends a process, never ends, or computes something else. The
checksum stands in the same file, after the last byte that a loader reads (ELF and Mach-O name what they hold by offset,
and a pickle ends by itself): one rename puts both there, so there is no moment at which one is another version's. It
covers the file's name, too: one kernel in the place of another is as wrong as a damaged one.

It detects damage, not forgery: a user who may write to the cache may write a checksum, too. What others vouch for is
signed (``runtime.query.kernel_store``).
"""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from operators import files

MAX_BYTES = 64 << 20
"""No file of the cache is larger; what stands there with more is not read."""

_MAGIC = b"ANTSEAL1"
_LENGTH = len(_MAGIC) + hashlib.sha256().digest_size


class Damaged(OSError):
    """A file of the cache that is not as it was written."""


def sealed(name: str, data: bytes) -> bytes:
    """``data`` as the content of the file ``name``, with its checksum."""
    return data + _MAGIC + _digest(name, data)


def write(path: Path, data: bytes, name: str | None = None) -> None:
    """Write a file of the cache, durably; see ``files.put``. ``name`` is what the checksum covers, the file's unless
    given."""
    files.put(sealed(path.name if name is None else name, data), path)


def read(path: Path, name: str | None = None) -> bytes:
    """The content without its checksum; Damaged if it is not what was written, another OSError if it cannot be read."""
    with files.reader(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_BYTES:
            raise Damaged(errno.EFBIG, "it is larger than any file of the kernel cache", str(path))
        content = file.read(MAX_BYTES + 1)
    data, seal = content[:-_LENGTH], content[-_LENGTH:]
    if seal != _MAGIC + _digest(path.name if name is None else name, data):
        raise Damaged(errno.EIO, "it is damaged: its checksum is another one", str(path))
    return data


def is_whole(path: Path) -> bool:
    """Whether ``read`` would give its content."""
    try:
        read(path)
    except OSError:
        return False
    return True


def _digest(name: str, data: bytes) -> bytes:
    digest = hashlib.sha256(name.encode() + b"\0")
    digest.update(data)
    return digest.digest()
