"""The interface of sink emitters: when to stop for lack of room, and the code per row and per key."""

from __future__ import annotations

from abc import ABC, abstractmethod

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import SourceWriter, Tables


class SinkEmitter(ABC):
    """Emits the code of one sink; sinks without a state per key have nothing to load, store or finish."""

    full = ""
    """The condition that the next row may not fit; empty if ``places`` suffices."""

    places = ""
    """A lower bound of the rows that still fit, as an expression."""

    at_end = 0
    """The maximum number of rows written at the end of a key."""

    advances = False
    """Whether ``advance`` runs before each row."""

    def __init__(self, w: SourceWriter) -> None:
        self.w = w

    def constants(self, x: Emitter) -> None:  # noqa: B027 (not every sink has any)
        """Load the sink's constants into locals, once."""

    def load(self) -> None:  # noqa: B027
        """Load per-key state into locals."""

    def store(self) -> None:  # noqa: B027
        """Write the locals back and close the run of output rows."""

    def close_run(self) -> None:  # noqa: B027
        """End the run of output rows of this key."""

    def advance(self, x: Emitter) -> None:  # noqa: B027
        """Write what has ended by the time ``t`` of the key's next row, without using its values."""

    @abstractmethod
    def row(self, x: Emitter) -> None:
        """One row that has passed the stage's operations, of the key whose state is loaded."""

    def skip_ahead(self, tables: Tables) -> None:  # noqa: B027
        """Skip following rows that change nothing."""

    def finish(self, x: Emitter) -> None:  # noqa: B027
        """Write what is still open at the end of the range, for the key whose state is loaded."""
