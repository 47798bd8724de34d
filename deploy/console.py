"""Where the console script begins and ends: Ctrl-C is quiet from the first import to the last thread.

While modules are imported, and once the command has ended, nothing is under way that could be reported or left half
done: an interrupt ends the process as the system does. In between, ``cli.main`` reports it, and so that it comes there
as what it is, an interrupt in the midst of an import of the command's (``WhenImported``) waits for its end.
"""

from __future__ import annotations

import _thread
import gc
import signal
import sys
import threading
import time
from types import FrameType

PATIENCE = 2.0
"""Seconds that an interrupt waits for the end of an import: a file of metrics may work long while it is imported."""

_PAUSE = 0.002
_IMPORTS = "<frozen importlib._bootstrap"


class WhenImported:
    """Handles Ctrl-C as Python does, by KeyboardInterrupt, but not while a module is imported.

    There it would become another error, as in ``__set_name__`` of a class (until Python 3.12) and in extension modules,
    or be printed and forgotten, as in the callbacks by which importlib tidies its locks. Forgotten it can also be in a
    ``__del__``: then it comes again (``forgotten``).
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, now or in a moment."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if now - self._since < PATIENCE and _imports(frame):
            _again()
            return
        self._since = None
        raise KeyboardInterrupt

    @property
    def is_waiting(self) -> bool:
        """Whether an interrupt has come, and was not raised yet."""
        return self._since is not None

    def forgotten(self, about: sys.UnraisableHookArgs, /) -> None:
        """What to do with an exception that cannot be raised: an interrupt comes again."""
        if about.exc_type is KeyboardInterrupt:
            self._since = time.monotonic()
            _again()
        else:
            sys.__unraisablehook__(about)


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith(_IMPORTS):
            return True
        frame = frame.f_back
    return False


def _again() -> None:
    """Interrupt the main thread in a moment. Not by threading.Thread, whose locks this thread may hold."""
    main = threading.main_thread().ident

    def interrupt() -> None:
        time.sleep(_PAUSE)
        if main is not None and hasattr(signal, "pthread_kill"):
            signal.pthread_kill(main, signal.SIGINT)  # which ends a wait, too
        else:
            _thread.interrupt_main()

    _thread.start_new_thread(interrupt, ())


def main() -> int:
    """Run the command of the process's arguments; returns the exit code."""
    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else it is ignored, as under nohup
    if ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from deploy.cli import main as run

    handler = WhenImported()
    try:
        if ours:
            sys.unraisablehook = handler.forgotten
            signal.signal(signal.SIGINT, handler)
        code = run()
        return 130 if handler.is_waiting else code
    except KeyboardInterrupt:  # in the moment before or after the command
        return 130
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        # Python would look through all objects once more for cycles: half a second where kernels were compiled.
        gc.freeze()
