"""The Lambda functions: each module has one ``handler(event, context)``."""

from __future__ import annotations

import gc
import os
from pathlib import Path

# Before numpy is imported: its linear algebra library, unused here, would start threads. Imports create hundreds of
# thousands of long-lived objects, which the garbage collector would traverse again and again: it begins with the first
# invocation (``logs.invocation``).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
gc.set_threshold(100_000, 50, 100)
if "AWS_LAMBDA_FUNCTION_NAME" in os.environ:
    gc.disable()

# A bundle has its kernels beside the packages, so nothing is compiled. A function has no home folder, and may write
# only below its temporary folder.
_kernels = Path(__file__).parents[2] / "kernels"
if _kernels.is_dir():
    os.environ.setdefault("ANTFOLD_KERNELS", "ready")
    os.environ.setdefault("ANTFOLD_KERNEL_PATH", str(_kernels))
    os.environ.setdefault("ANTFOLD_CACHE_DIR", os.path.join(os.environ.get("TMPDIR", "/tmp"), "antfold"))
