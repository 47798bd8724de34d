"""The base of emitters with state per key: their locals, and the runs of rows that they write."""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import I8, OUT_ROWS, OUT_RUNS, U1, SourceWriter, value_array
from dataflow.typed.nodes import Typed
from operators.types import Type


class KeyedEmitter(SinkEmitter):
    """Holds state per key in arrays (``z_...``), and in locals while it processes the rows of one key."""

    full = "on + 1 > cap"
    at_end = 3

    def __init__(self, w: SourceWriter, held: tuple[tuple[str, Typed], ...]) -> None:
        super().__init__(w)
        self.locals: list[tuple[str, str]] = []
        for j, (name, e) in enumerate(held):
            w.arg(f"oh{j}_v", value_array(e.type), "out", name)
            w.arg(f"oh{j}_k", U1, "out_valid", name)
        w.arg("o_time", I8, "out_time")
        w.arg("o_end", I8, "out", "$end")
        w.arg("o_slot", I8, "out_slot")
        w.arg("o_len", I8, "out_len")

    def keep(self, *names: tuple[str, str]) -> None:
        """Declare state: (name, array type) pairs."""
        self.locals += names
        for name, array in names:
            self.w.arg(f"z_{name}", array, "slot", f"z_{name}")

    def load(self) -> None:
        """Load per-key state into locals."""
        for name, _ in self.locals:
            self.w.put(f"{name} = z_{name}[slot]")
        self.w.put("base = on")

    def store(self) -> None:
        """Write the locals back and close the run of output rows."""
        for name, _ in self.locals:
            self.w.put(f"z_{name}[slot] = {name}")
        self.close_run()

    def close_run(self) -> None:
        """End the run of output rows of this key."""
        w = self.w
        with w.block("if on > base:"):
            w.put("o_slot[orun] = slot\no_len[orun] = on - base\norun += 1")
        w.put(f"s[{OUT_ROWS}] = on\ns[{OUT_RUNS}] = orun")


class FlowEmitter(KeyedEmitter):
    """A keyed sink that also writes any number of rows because time has passed.

    It does so before anything of the next row is computed, so that it can stop when the output is full and resume: a
    row's expressions may remember earlier rows and must run once.
    """

    advances = True

    def __init__(self, w: SourceWriter, held: tuple[tuple[str, Typed], ...]) -> None:
        super().__init__(w, held)
        self.held = held
        for j, (_, e) in enumerate(held):
            self.keep((f"ch{j}", value_array(e.type)), (f"chk{j}", U1))

    def remember(self, x: Emitter) -> None:
        """Update the held columns from this row's reports."""
        for j, (_, e) in enumerate(self.held):
            v, k = x.emit(e)
            v = f"np.int64({v})" if e.type is not Type.FLOAT else v
            with self.w.block(f"if {k}:"):
                self.w.put(f"ch{j} = {v}\nchk{j} = np.uint8(1)")

    def write_held(self, values: str = "ch", valid: str = "chk") -> None:
        """Write the held columns of an output row, from the locals with these prefixes."""
        for j in range(len(self.held)):
            self.w.put(f"oh{j}_v[on] = {values}{j}\noh{j}_k[on] = {valid}{j}")

    def room(self, back: str, full: str = "on + 1 > cap") -> None:
        """Return ``back``, where to resume, if there is no room for another output row."""
        with self.w.block(f"if {full}:"):
            self.store()
            self.w.put(f"return {back}")
