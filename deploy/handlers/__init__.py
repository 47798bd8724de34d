"""The Lambda functions: each module has one ``handler(event, context)``."""

from __future__ import annotations

import gc
import os
from pathlib import Path

# Before anything imports numpy: its library for linear algebra, which nothing here calls, else starts threads. And
# importing makes hundreds of thousands of objects that stay, which the collector would look over again and again.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
gc.set_threshold(100_000, 50, 100)

# A bundle brings its kernels, beside the packages: who finds them there compiles none. A function has no home, and may
# write below its temporary folder only.
_kernels = Path(__file__).parents[2] / "kernels"
if _kernels.is_dir():
    os.environ.setdefault("ANTFOLD_KERNELS", "ready")
    os.environ.setdefault("ANTFOLD_KERNEL_PATH", str(_kernels))
    os.environ.setdefault("ANTFOLD_CACHE_DIR", os.path.join(os.environ.get("TMPDIR", "/tmp"), "antfold"))
