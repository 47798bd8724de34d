"""Runs a command while its standard input is open, so that it ends with the process at the other end.

    python leash.py COMMAND ARGUMENT...

Such a server does not outlive the tests, even if they are killed. If the input has anything, it is killed itself.
"""

from __future__ import annotations

import subprocess
import sys


def main(command: list[str]) -> int:
    """Run the command until it ends or standard input does; its return code."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    if sys.stdin.buffer.read():
        process.kill()
    process.terminate()
    try:
        return process.wait(2)  # servers would rather wait for connections to end
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
