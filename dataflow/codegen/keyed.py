"""What sinks with a state per key share: their locals, and the runs of rows that they write."""

from __future__ import annotations

from dataflow.codegen.source import I8, OUT_ROWS, OUT_RUNS, U1, Writer, value_array
from dataflow.typed import Typed


class KeyedSink:
    """Keeps state per key in arrays (``z_...``), and in locals while the rows of one key pass."""

    room = 3
    """Rows that the end of one key may write."""

    def __init__(self, w: Writer, held: tuple[tuple[str, Typed], ...]) -> None:
        self.w = w
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
        """Per-key state into locals."""
        for name, _ in self.locals:
            self.w.put(f"{name} = z_{name}[slot]")
        self.w.put("base = on")

    def store(self) -> None:
        """Locals back, and the run of output rows closed."""
        for name, _ in self.locals:
            self.w.put(f"z_{name}[slot] = {name}")
        self.close_run()

    def close_run(self) -> None:
        """End the run of output rows of this key."""
        w = self.w
        with w.block("if on > base:"):
            w.put("o_slot[orun] = slot\no_len[orun] = on - base\norun += 1")
        w.put(f"s[{OUT_ROWS}] = on\ns[{OUT_RUNS}] = orun")
