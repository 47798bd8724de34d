"""What every sink's code has in common: where a row may find no room, and what is done with each row and key."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import SourceWriter, Tables


class SinkEmitter(ABC):
    """Emits the code of one sink; sinks without a state per key have nothing to load, store or finish."""

    full = ""
    """The condition under which the next row may find no room; empty where ``places`` says all."""

    places = ""
    """Lower bound of the rows that still fit, as an expression."""

    at_end = 0
    """Rows that the end of one key may write."""

    advances = False
    """Whether ``advance`` comes before each row."""

    def __init__(self, w: SourceWriter) -> None:
        self.w = w

    def constants(self, x: Emitter) -> None:  # noqa: B027 (not every sink has any)
        """Load the sink's constants into locals, once."""

    def load(self) -> None:  # noqa: B027
        """Per-key state into locals."""

    def store(self) -> None:  # noqa: B027
        """Locals back, and the run of output rows closed."""

    def close_run(self) -> None:  # noqa: B027
        """End the run of output rows of this key."""

    def advance(self, x: Emitter) -> None:  # noqa: B027
        """Write what is over by the time ``t`` of the next row of the key, whatever that row is."""

    @abstractmethod
    def row(self, x: Emitter) -> None:
        """One row that has passed the stage's operations, of the key whose state is loaded."""

    def skip_ahead(self, tables: Tables) -> None:  # noqa: B027
        """Pass over the rows that follow and change nothing."""

    def finish(self, x: Emitter) -> None:  # noqa: B027
        """What is still open for the key whose state is loaded, at the end of the range."""
