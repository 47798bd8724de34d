"""The functions of Lambda: each module has one ``handler(event, context)``."""

from __future__ import annotations

import gc
import os

# Before anything imports numpy: its library for linear algebra, which nothing here calls, else starts threads. And
# importing makes hundreds of thousands of objects that stay, which the collector would look over again and again.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
gc.set_threshold(100_000, 50, 100)
