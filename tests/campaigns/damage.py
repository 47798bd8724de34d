"""Ways to damage files: what disks, crashes, copies and people leave behind."""

from __future__ import annotations

import os
import random
import shutil
import socket
from collections.abc import Callable
from pathlib import Path


def flip(path: Path, rng: random.Random) -> None:
    """One bit."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(8 * len(data))
    data[at // 8] ^= 1 << at % 8
    path.write_bytes(data)


def flip_many(path: Path, rng: random.Random) -> None:
    """A bit in each of up to fifty bytes."""
    data = bytearray(path.read_bytes())
    for _ in range(rng.randrange(2, 51)):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def cut(path: Path, rng: random.Random) -> None:
    """Whatever comes after some byte is lost."""
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def empty(path: Path, rng: random.Random) -> None:
    """Nothing is left, as of a file that a crash left unsynced."""
    path.write_bytes(b"")


def zeros(path: Path, rng: random.Random) -> None:
    """A stretch of zeros, as of a page that was never written."""
    data = bytearray(path.read_bytes())
    at = rng.randrange(len(data))
    stop = min(len(data), at + rng.choice([1, 64, 4096]))
    data[at:stop] = bytes(stop - at)
    path.write_bytes(data)


def longer(path: Path, rng: random.Random) -> None:
    """More bytes at the end."""
    path.write_bytes(path.read_bytes() + rng.randbytes(rng.randrange(1, 200)))


def other(path: Path, rng: random.Random) -> None:
    """Another file of the folder in its place."""
    others = sorted(p for p in path.parent.iterdir() if p.suffix == path.suffix and p != path and p.is_file())
    if others:
        path.write_bytes(rng.choice(others).read_bytes())
    else:
        path.write_bytes(b"another file\n")


def text(path: Path, rng: random.Random) -> None:
    """Something else altogether."""
    path.write_bytes(b"#!/bin/sh\nexit 0\n")


def fifo(path: Path, rng: random.Random) -> None:
    """A FIFO that nobody writes to."""
    path.unlink()
    os.mkfifo(path)


def unix_socket(path: Path, rng: random.Random) -> None:
    """A socket that nobody listens at."""
    path.unlink()
    before = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("s")
        Path("s").rename(path.name)
    finally:
        os.chdir(before)


def device(path: Path, rng: random.Random) -> None:
    """A device that never ends."""
    path.unlink()
    path.symlink_to("/dev/zero")


def folder(path: Path, rng: random.Random) -> None:
    """A folder with something in it."""
    path.unlink()
    (path / "in").mkdir(parents=True)


def loop(path: Path, rng: random.Random) -> None:
    """A symbolic link to itself."""
    path.unlink()
    path.symlink_to(path.name)


def dangling(path: Path, rng: random.Random) -> None:
    """A symbolic link to nothing."""
    path.unlink()
    path.symlink_to("nothing")


def closed(path: Path, rng: random.Random) -> None:
    """A file that may not be read (by root it still may)."""
    path.chmod(0)


def gone(path: Path, rng: random.Random) -> None:
    """No file at all."""
    path.unlink()


Damage = Callable[[Path, random.Random], None]

CONTENT: tuple[Damage, ...] = (flip, flip_many, cut, empty, zeros, longer, other, text)
"""A regular file with other content."""

PLACE: tuple[Damage, ...] = (fifo, unix_socket, device, folder, loop, dangling, closed, gone)
"""Something else in the file's place."""


def restore(path: Path, content: bytes) -> None:
    """Put the file back as it was."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.write_bytes(content)
