"""``python -m dataflow`` is the console script.

That is in the package ``deploy``, which is built upon this one: it is found by its name, and only when it is run.
"""

from __future__ import annotations

import runpy

runpy.run_module("deploy", run_name="__main__", alter_sys=True)
