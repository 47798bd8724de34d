"""Starts like a Lambda function: a new process that can import only the bundle.

python -I -S function.py BUNDLE < TASK > REPLY; the third-party modules that it imported go to standard error.
"""

from __future__ import annotations

import json
import os
import sys


class Context:
    """What Lambda tells of an invocation."""

    aws_request_id = "1"
    function_name = "antfold-worker"


def main(bundle: str) -> None:
    """Answer one task."""
    sys.path.insert(0, bundle)
    from deploy.handlers.task import handler

    # The function's log is printed, too; the reply is the last line.
    print(json.dumps(handler(json.load(sys.stdin), Context())), flush=True)
    if os.environ.get("TELL"):
        # Not of getrusage: that of a process just forked begins with its parent's.
        with open("/proc/self/status") as file:
            status = file.read()
        peak = int(status.split("VmHWM:")[1].split()[0])
        print(json.dumps({"modules": sorted(sys.modules), "peak_kb": peak}), file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
