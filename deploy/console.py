"""Where the console script begins and ends: Ctrl-C is quiet from the first import to the last thread.

While modules are imported, and once the command has ended, nothing is under way that could be reported or left half
done: an interrupt ends the process as the system does. In between, ``cli.main`` reports it.
"""

from __future__ import annotations

import gc
import signal


def main() -> int:
    """Run the command of the process's arguments; returns the exit code."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as under nohup
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from deploy.cli import main as run

    try:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        return run()
    except KeyboardInterrupt:  # in the moment before or after the command
        return 130
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Python would look through all objects once more for cycles: half a second where kernels were compiled.
        gc.freeze()
