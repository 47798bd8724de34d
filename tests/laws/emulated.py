"""arm64 kernels on this machine: each call runs in an emulator process."""

from __future__ import annotations

import functools
import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from operators.compiler.link import linker
from operators.compiler.signature import arguments_of
from operators.compiler.targets import TARGETS, TargetUnavailable

# Words come as 0 and a value, 1 and an array (its size, its bytes), or 2 and the number of an array that was sent.
_DRIVER = r"""
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t number(void) { int64_t x; if (fread(&x, 8, 1, stdin) != 1) exit(0); return x; }

int main(int argc, char **argv) {
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    int64_t (*run)(int64_t *) = (int64_t (*)(int64_t *))dlsym(library, "run");
    for (;;) {
        int64_t n = number(), arrays = 0, *words = calloc(n, 8), *sizes = calloc(n, 8);
        char **data = calloc(n, sizeof *data);
        for (int64_t i = 1; i < n; i++) {
            int64_t kind = number(), value = number();
            if (kind == 1) {
                data[arrays] = aligned_alloc(64, value / 64 * 64 + 64);
                if (value && fread(data[arrays], value, 1, stdin) != 1) return 1;
                sizes[arrays] = value;
                value = (int64_t)data[arrays++];
            } else if (kind == 2) value = (int64_t)data[value];
            words[i] = value;
        }
        int64_t result = run(words);
        fwrite(&result, 8, 1, stdout);
        fwrite(words, 8, 1, stdout);
        for (int64_t i = 0; i < arrays; i++) { fwrite(data[i], 1, sizes[i], stdout); free(data[i]); }
        fflush(stdout);
        free(words); free(sizes); free(data);
    }
}
"""


@functools.lru_cache(maxsize=1)
def emulator() -> list[str]:
    """The command that runs a program for arm64; the test is skipped where there is none."""
    found, root = shutil.which("qemu-aarch64"), os.environ.get("QEMU_LD_PREFIX", "/usr/aarch64-linux-gnu")
    if found is None or not Path(root, "lib", "ld-linux-aarch64.so.1").exists():
        pytest.skip("no emulator for arm64: install Debian's qemu-user and libc6-arm64-cross")
    return [found, "-L", root]


def driver(folder: Path) -> Path:
    """The program that calls a kernel, compiled into ``folder``; the test is skipped where that cannot be."""
    try:
        command = [part for part in linker(TARGETS["arm64"]) if not part.startswith(("-Wl", "-nostart"))]
    except TargetUnavailable as error:
        pytest.skip(str(error))
    source, path = folder / "driver.c", folder / "driver"
    source.write_text(_DRIVER)
    subprocess.run([*command, "-O1", "-o", str(path), str(source), "-ldl"], check=True, capture_output=True)
    return path


class Emulated:
    """A kernel for arm64 that is called as ``operators.compiler.shared_object.Native`` is."""

    def __init__(self, program: Path, kernel: Path, signature: str) -> None:
        self.result, self.arguments = arguments_of(signature)
        command = [*emulator(), str(program), str(kernel)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=sys.stderr)

    def __call__(self, *args: Any) -> Any:
        words: list[bytes] = []
        sent: dict[tuple[int, int], tuple[int, Any]] = {}
        for a in args:
            if not isinstance(a, np.ndarray):
                words.append(struct.pack("<qq", 0, int(a)))
                continue
            place = (a.__array_interface__["data"][0], a.nbytes)
            if place in sent:
                words.append(struct.pack("<qq", 2, sent[place][0]))
            else:
                sent[place] = (len(sent), a)
                words.append(struct.pack("<qq", 1, a.nbytes) + a.tobytes())
            words += [struct.pack("<qq", 0, n) for n in a.shape]
        stdin, stdout = self.process.stdin, self.process.stdout
        assert stdin is not None
        assert stdout is not None
        stdin.write(struct.pack("<q", 1 + len(words)) + b"".join(words))
        stdin.flush()
        result, status = struct.unpack("<qq", stdout.read(16))
        assert status == 0
        for _, a in sent.values():
            back = np.frombuffer(stdout.read(a.nbytes), a.dtype).reshape(a.shape)
            if a.flags.writeable:
                a[...] = back
        return bool(result) if self.result == "b1" else result

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
