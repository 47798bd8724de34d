"""The sink of ``funnel``."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.codegen.writer import SourceWriter
from dataflow.steps.funnels.any_order import AnyOrderEmitter
from dataflow.steps.funnels.attempts import Attempts
from dataflow.steps.funnels.attempts_emitter import AttemptsEmitter
from dataflow.steps.funnels.chains import ChainsEmitter


@dataclass(frozen=True)
class Climb(Attempts):
    """Funnels: see ``Attempts``."""

    def emitter(self, w: SourceWriter) -> AttemptsEmitter:
        """See Sink."""
        return (AnyOrderEmitter if self.mode == "any_order" else ChainsEmitter)(w, self)
