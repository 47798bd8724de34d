"""Requests to executors and workers, and their replies: changed, truncated, swapped, repeated, forged.

Alternates between a ``concurrent.futures`` executor and a fleet of invoked workers. The result is right, or there is
an error. A forged state (other content, right checksums) may lead only to a result or an error; large runs check
bounds.
"""

from __future__ import annotations

import base64
import json
import random
import tempfile
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any
from unittest.mock import patch

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.fleet import Fleet, Reply, Rules
from runtime.fleet.worker import answer
from runtime.query.plan import make_tasks as task_sizes
from runtime.query.task import state_bytes
from tests.campaigns import Report
from tests.campaigns.apart import Hangs, at_most, run_apart
from tests.campaigns.states import change_array

SECONDS = 60

P = df.stream("s")
METRICS = [
    P.filter(df.col("v") > 4).group_by("state").agg(m=df.mean("v"), n=df.count(), d=df.count_distinct("k")),
    P.filter(df.col("v") > 5).group_by("state").agg(m=df.mean("v"), n=df.count(), d=df.count_distinct("k")),
    P.state_duration("state", hold="5h").group_by("k").agg(t=df.known_time(), top=df.top_k("state", 3)),
    P.state_duration("state", hold="6h").group_by("k").agg(t=df.known_time(), top=df.top_k("state", 3)),
    P.sessionize("3h", m=df.mean("v")),
]
"""Pairs differ in a constant alone: their kernels, tasks' names and files are the same."""

_PAIRED = (1, 0, 3, 2, 0)

KINDS = ("task changed", "reply changed", "swapped", "repeated", "of another query", "of another range", "forged")


def run(budget: int, seed: int) -> Report:
    """Ask ``budget`` queries, with one message of each wrong."""
    return run_apart(__name__, budget, seed)


def attack(report: Report, budget: int, seed: int) -> None:
    """See ``run``; in this process."""
    rng = random.Random(seed)
    several = patch.object(task_sizes, "_SMALL", 400)  # few rows make several tasks
    with several, tempfile.TemporaryDirectory(prefix="antfold-payloads-") as name, Store(name, create=True) as store:
        _fill(store)
        right = [store.query(m, progress=False, workers=4).to_dict()["rows"] for m in METRICS]
        for asked in (_fleet(_untouched()), _Inline(_untouched())):
            assert right == [_rows(store, m, asked) for m in METRICS], "messages that nobody changed give other rows"
        spare = [_recorded(store, m, None) for m in METRICS], [_recorded(store, m, "1970-01-04") for m in METRICS]
        for number in range(budget):
            kind = KINDS[number % len(KINDS)]
            which = rng.randrange(len(METRICS))
            others = spare[1][which] if kind == "of another range" else spare[0][_PAIRED[which]]
            made = _Messages(kind, rng, others)
            by_fleet = rng.random() < 0.5
            asked = _fleet(made) if by_fleet else _Inline(made)
            what = f"metric {which} by {'a fleet' if by_fleet else 'an executor'}: {kind}"
            report.count(kind)
            try:
                with at_most(SECONDS):
                    found = _rows(store, METRICS[which], asked)
            except DataflowError:
                continue
            except (Hangs, Exception) as error:
                report.failures.append(f"{what} ({made.said}): {type(error).__name__}: {error}")
                continue
            if found != right[which]:
                if kind == "forged":
                    report.count("forged and believed", 0)
                    report.tried["forged and believed"] += 1
                else:
                    report.failures.append(f"{what} ({made.said}): {right[which]} is right, {found} came")


def _rows(store: Store, metric: Any, executor: Executor | Fleet) -> Any:
    return store.query(metric, executor=executor, workers=4, progress=False).to_dict()["rows"]


class _Messages:
    """Changes one message among those of a query; ``spare``: what workers answered to another one."""

    def __init__(self, kind: str, rng: random.Random, spare: list[bytes]) -> None:
        self.kind, self.rng, self.spare = kind, rng, spare
        self.seen: list[bytes] = []
        self.said = ""
        self.left = 0 if kind in ("swapped", "repeated") else rng.randrange(3)

    def sent(self, payload: bytes) -> bytes:
        if self.kind != "task changed" or not self._is_it():
            return payload
        return _changed_text(payload, self.rng) if self.rng.random() < 0.7 else _changed(payload, self.rng)

    def state(self, state: bytes) -> bytes:
        """The state that a worker answers."""
        self.seen.append(state)
        if self.kind in ("swapped", "repeated"):
            # The first is answered as it is, and again in the place of the second.
            return self.seen[0] if len(self.seen) == 2 else state
        if self.kind in ("task changed",) or not self._is_it():
            return state
        if self.kind == "reply changed":
            return _changed(state, self.rng)
        if self.kind == "forged":
            head, arrays = state_bytes.unsealed(state[:8], state, "it")
            if self.rng.random() < 0.2:
                head["strings"] = self.rng.choice([[], [*head["strings"], "more"], None, head["strings"][::-1]])
            else:
                self.said = change_array(arrays, self.rng)
            return state_bytes.sealed(state[:8], head, arrays)
        return self.spare[len(self.seen) - 1 if len(self.seen) <= len(self.spare) else 0]

    def _is_it(self) -> bool:
        self.left -= 1
        return self.left == -1


def _untouched() -> _Messages:
    made = _Messages("", random.Random(0), [])
    made.left = 1 << 30
    return made


class _Inline(Executor):
    """Runs what it is given at once, over messages that are changed."""

    def __init__(self, made: _Messages) -> None:
        self.made = made

    def submit(self, fn: Callable[..., Any], /, *args: Any, **_: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(self.made.state(fn(self.made.sent(args[0]))))
        except Exception as error:
            future.set_exception(error)
        return future


def _fleet(made: _Messages) -> Fleet:
    def invoke(payload: bytes) -> Reply:
        try:
            answered = answer(json.loads(made.sent(payload)))
        except Exception as error:  # as Lambda reports an uncaught error
            text = json.dumps({"errorType": type(error).__name__, "errorMessage": str(error)})
            return Reply(200, text.encode(), "Unhandled")
        if "state" in answered:
            answered["state"] = base64.b64encode(made.state(base64.b64decode(answered["state"]))).decode()
        return Reply(200, json.dumps(answered).encode())

    return Fleet(invoke, Rules(failures=1, base=0.0001))


def _recorded(store: Store, metric: Any, until: str | None) -> list[bytes]:
    made = _untouched()
    store.query(metric, executor=_Inline(made), workers=4, progress=False, until=until)
    return made.seen


def _changed(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    if rng.random() < 0.2:
        return bytes(out[: rng.randrange(len(out))])
    at = rng.randrange(8 * len(out))
    out[at // 8] ^= 1 << at % 8
    return bytes(out)


def _changed_text(data: bytes, rng: random.Random) -> bytes:
    """Another digit in the place of one: still JSON, about other rows or of another constant."""
    places = [i for i, c in enumerate(data) if 48 <= c <= 57]
    at = rng.choice(places)
    return data[:at] + bytes([rng.choice([c for c in b"123456789" if c != data[at]])]) + data[at + 1 :]


def _fill(store: Store) -> None:
    n, rng = 2_400, random.Random(0)
    points = {
        "k": [f"k{i % 40}" for i in range(n)],
        "t": [i * 200 for i in range(n)],
        "v": [round(rng.uniform(0, 10), 2) for _ in range(n)],
        "state": [rng.choice(["up", "down", "off"]) for _ in range(n)],
    }
    for at in range(0, n, n // 3):
        part = {name: values[at : at + n // 3] for name, values in points.items()}
        store.ingest("s", part, key="k", time="t", unit="s", progress=False)
