"""Funnels whose steps are met in any order.

An attempt may start at any row that meets a step. For every step there is one *window*: it starts at the last row that
met the step, and knows when it first met each other step. Among the attempts that meet a set of steps by some time, the
one that starts last starts at the last row of one of these steps, so no other window needs to be stored: K times K
times for K steps, and those of the attempt that got furthest.
"""

from __future__ import annotations

from dataflow.codegen.emitter import Emitter
from dataflow.codegen.writer import I8, U1, SourceWriter, value_array
from dataflow.steps.funnels.attempts import Attempts
from dataflow.steps.funnels.attempts_emitter import AttemptsEmitter


class AnyOrderEmitter(AttemptsEmitter):
    """Emits the code of a ``Climb`` sink with steps in any order."""

    def __init__(self, w: SourceWriter, sink: Attempts) -> None:
        super().__init__(w, sink)
        self.best: list[str] = []
        self._best("top", U1)
        self._best("best_start", I8)
        self._best("best_met", I8)
        wide = self.steps * sink.lanes
        for name, width in (("start", wide), ("met", wide), ("time", wide * self.steps), ("best", wide)):
            w.arg(f"w_{name}", I8, "slot", f"w_{name}", width)
        for n, (_, e) in enumerate(sink.held):
            for name, array in ((f"sh{n}", value_array(e.type)), (f"shk{n}", U1)):
                self._best(f"best_{name}", array)
                w.arg(f"w_{name}", array, "slot", f"w_{name}", wide)
        for n in sink.reached:
            w.arg(f"o_r{n}_v", I8, "out", f"reached_{n}")
            w.arg(f"o_r{n}_k", U1, "out_valid", f"reached_{n}")

    def _best(self, name: str, array: str) -> None:
        """Declare a local variable of the attempt that got furthest."""
        self.best.append(name)
        if self.by_bucket:
            self.w.arg(f"lane_{name}", array, "slot", f"lane_{name}", self.sink.lanes)
        else:
            self.keep((name, array))

    def constants(self, x: Emitter) -> None:
        """See AttemptsEmitter."""
        super().constants(x)
        self.w.put(f"width = np.uint64({self.steps})")

    def _places(self) -> None:
        """Where the windows of this lane begin."""
        self.w.put(f"first_place = {'at' if self.by_bucket else 'slot'} * width")

    def settle_attempts(self) -> None:
        """See AttemptsEmitter."""
        w = self.w
        self._places()
        w.put(f"steps = met & {(1 << self.steps) - 1}")
        with w.block(f"for own in range({self.steps}):"):
            w.put("place = first_place + np.uint64(own)\nso_far = w_met[place]\nfresh = steps & ~so_far")
            with w.block("if so_far != 0 and moment - w_start[place] > within:"):
                w.put("w_met[place] = 0\nso_far = np.int64(0)")
            with w.block("if so_far != 0 and fresh != 0:"):
                w.put("w_met[place] = so_far | fresh")
                self._set_times("fresh")
            with w.block(f"if (steps >> own) & 1 != 0{self.enters}:"):
                w.put("w_start[place] = moment\nw_met[place] = steps")
                self._set_times("steps")
                for n in range(len(self.held)):
                    w.put(f"w_sh{n}[place] = ch{n}\nw_shk{n}[place] = chk{n}")
            self._keep_best()
            if self.sink.excluded:
                with w.block(f"if met >> {self.steps} != 0 and w_start[place] < moment:"):
                    w.put("w_met[place] = 0")

    def _set_times(self, steps: str) -> None:
        with self.w.block(f"for other in range({self.steps}):"), self.w.block(f"if ({steps} >> other) & 1 != 0:"):
            self.w.put("w_time[place * width + np.uint64(other)] = moment")

    def _keep_best(self) -> None:
        """Remember the window at ``place`` if it met more steps than any other, or as many and starts later."""
        w = self.w
        w.put("so_far = w_met[place]\nn_met = np.int64(0)")
        with w.block(f"for other in range({self.steps}):"):
            w.put("n_met += (so_far >> other) & 1")
        with w.block("if n_met > top or (n_met != 0 and n_met == top and w_start[place] > best_start):"):
            w.put("top = np.uint8(n_met)\nbest_start = w_start[place]\nbest_met = so_far")
            with w.block(f"for other in range({self.steps}):"):
                w.put("w_best[first_place + np.uint64(other)] = w_time[place * width + np.uint64(other)]")
            for n in range(len(self.held)):
                w.put(f"best_sh{n} = w_sh{n}[place]\nbest_shk{n} = w_shk{n}[place]")

    def write_attempt(self) -> None:
        """See AttemptsEmitter."""
        w = self.w
        self._places()
        w.put("o_time[on] = best_start\no_end[on] = best_start")
        for n in self.sink.reached:
            w.put(f"o_r{n}_v[on] = 0\no_r{n}_k[on] = top >= {n}")
        with w.block(f"for other in range({self.steps}):"), w.block("if (best_met >> other) & 1 != 0:"):
            w.put("mine = w_best[first_place + np.uint64(other)]\no_end[on] = max(o_end[on], mine)")
            if self.sink.reached:
                w.put("number_met = np.int64(1)")
                with w.block(f"for own in range({self.steps}):"), w.block("if (best_met >> own) & 1 != 0:"):
                    w.put("its = w_best[first_place + np.uint64(own)]")
                    w.put("number_met += np.int64(its < mine or (its == mine and own < other))")
            for n in self.sink.reached:
                with w.block(f"if number_met == {n}:"):
                    w.put(f"o_r{n}_v[on] = mine")
        for i in self.sink.times:
            met = f"(best_met >> {i - 1}) & 1"
            w.put(f"o_s{i}_v[on] = w_best[first_place + np.uint64({i - 1})] if {met} != 0 else 0\no_s{i}_k[on] = {met}")
        self.write_held("best_sh", "best_shk")

    def forget(self) -> None:
        """See AttemptsEmitter."""
        self._places()
        self.w.put("top = np.uint8(0)")
        self._clear_windows()

    def _clear_windows(self) -> None:
        with self.w.block(f"for own in range({self.steps}):"):
            self.w.put("w_met[first_place + np.uint64(own)] = 0")

    def load_lane(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("\n".join(f"{name} = lane_{name}[at]" for name in self.best))

    def store_lane(self) -> None:
        """See AttemptsEmitter."""
        self.w.put("\n".join(f"lane_{name}[at] = {name}" for name in self.best))

    def clear_lane(self) -> None:
        """See AttemptsEmitter."""
        self._places()
        self.w.put("lane_top[at] = np.uint8(0)")
        self._clear_windows()
