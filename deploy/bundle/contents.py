"""Which files of our packages and of the wheels go into the bundle."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("dataflow", "operators", "runtime", "deploy")

WHEELS = ("google-re2", "isal", "numpy", "orjson", "tzdata", "zstandard")
"""Bundled in the versions installed here. Lambda has boto3; numba is only needed to compile."""

# Of ours: what only a person runs.
_OURS_LEFT_OUT = re.compile(
    r"deploy/(commands|bundle|stack|simulator)/|deploy/(__main__|cli|metric_file)\.py$"
    r"|dataflow/examples/|runtime/testing/|runtime/points/|runtime/display/(plot|chart_data|chart_ticks)\.py$"
)

# Of wheels: tests, headers, type stubs, build files, documentation, and modules that only tests import.
_WHEELS_LEFT_OUT = re.compile(
    r"/(tests|include|_pyinstaller|f2py|testing|doc|_examples)/|^numpy/(random|fft|polynomial|conftest|distutils|ma/)"
    r"|\.(pyi|pxd|pyx|h|c|a|typed|ini|build)$|_tests\.[^/]*\.so$|/_simd\.[^/]*\.so$"
    r"|^isal/(isa-l/(?!LICENSE)|igzip(_threaded)?\.)"
    r"|^zstandard/backend_cffi"  # but not _cffi: our loops call its functions
    r"|\.dist-info/(?!METADATA$|licenses?/|LICENSE)"
)


DEBUG_INFORMATION = re.compile(r"^zstandard/[^/]*\.so$")
"""Shared objects that are bundled without debug information, nine tenths of their size. numpy's have none."""


def our_files(home: Path) -> Iterator[tuple[str, Path]]:
    """Our modules in ``home`` that functions may import: name in the bundle, and file."""
    for package in PACKAGES:
        for path in sorted((home / package).rglob("*.py")):
            name = path.relative_to(home).as_posix()
            if not _OURS_LEFT_OUT.search(name):
                yield name, path


def is_needed(name: str) -> bool:
    """Whether a function needs this file of a wheel."""
    return not name.endswith("/") and not _WHEELS_LEFT_OUT.search(name)
