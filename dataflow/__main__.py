"""``python -m dataflow`` is the console script.

It is in the package ``deploy``, a layer above this one, so it is imported by name and only when it runs.
"""

from __future__ import annotations

import runpy

runpy.run_module("deploy", run_name="__main__", alter_sys=True)
