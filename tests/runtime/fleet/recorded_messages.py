"""Messages of the protocol as a release sent them, recorded with the point file that they read.

``python -m tests.runtime.fleet.recorded_messages`` writes those of the code as it is: run it before ``PROTOCOL`` is
raised, on a commit without other changes, so that the new code is tried on what the former one really sent.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dataflow as df
from runtime import Store
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Task, request_digest

FOLDER = Path(__file__).parent
METRIC = df.stream("s").group_by("status").agg(n=df.count(), top=df.max("x"))
WHOLE = 1 << 64
_STORE = "STORE"
"""Replaces the path of the store."""


@dataclass(frozen=True)
class Recorded:
    """``task`` and ``batch`` are requests, the others replies: ``refusal`` to an altered request, ``stranger`` to one
    of an unknown version. ``file`` is the point file, ``path`` its name. The last two are the digests of the requests
    to which the replies were sent."""

    task: dict[str, Any]
    batch: dict[str, Any]
    reply: dict[str, Any]
    batch_reply: dict[str, Any]
    refusal: dict[str, Any]
    stranger: dict[str, Any]
    path: str
    file: str
    reply_request: str = ""
    batch_reply_request: str = ""


def recorded(version: int, folder: Path, tzdata: str) -> Recorded:
    """The messages of a version, for a store in ``folder``, which gets the point file, and for a release of tzdata."""
    text = (FOLDER / f"protocol_{version}.json").read_text(encoding="utf-8")
    found = Recorded(**json.loads(text.replace(f'"{_STORE}"', json.dumps(str(folder)))))
    path = folder / found.path
    path.parent.mkdir(parents=True)
    path.write_bytes(base64.b64decode(found.file))
    sent = found.task["request"], found.batch["request"]
    found.task["task"]["tzdata"] = found.batch["batch"]["shared"]["tzdata"] = tzdata
    for message, name in ((found.task, "task"), (found.batch, "batch")):
        message["request"] = request_digest(message[name])  # of another store now
    return replace(found, reply_request=sent[0], batch_reply_request=sent[1])


def tasks(store: Store) -> Iterator[Task]:
    """Two tasks of the metric, each for half of the keys."""
    (task,) = make_tasks(prepare(store.catalogue, Request(METRIC.steps, {}, None, None)), store.url, 1)
    for number, (low, high) in enumerate(((0, WHOLE // 2), (WHOLE // 2, WHOLE))):
        yield replace(task, id=f"0.{number}", shard=(low, high))


def record() -> str:
    """The messages of this code, as JSON."""
    from runtime.fleet import Reply
    from runtime.fleet import messages as m
    from runtime.fleet.fleet import Fleet, relay_fields
    from runtime.fleet.relay import relay
    from runtime.fleet.rules import TaskBatch
    from runtime.fleet.worker import answer

    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store") as store:
        rows = [
            {"device": f"d{n}", "ts": 1_700_000_000 + n, "status": ["up", "down"][n % 2 == 0], "x": n}
            for n in range(20)
        ]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        store.ingest("s", columns, key="device", time="ts", unit="s", progress=False)
        both = tuple(tasks(store))
        task = json.loads(m.request(both[0], "spill/q/0.0-1", store.objects))
        fields = relay_fields(Fleet(lambda _: Reply(0)), 1, False, "spill/q/stop", {})
        batch = json.loads(m.request(TaskBatch("b0", both), "spill/q/b0-1", store.objects, fields))

        def local(payload: bytes) -> Reply:
            return Reply(200, json.dumps(answer(json.loads(payload))).encode())

        (entry,) = both[0].files
        found = Recorded(
            task, batch, answer(task), relay(batch, local, 300.0), answer({**task, "request": "0"}),
            answer({**task, "version": 10**6}), entry.path,
            base64.b64encode((Path(store.url) / entry.path).read_bytes()).decode(),
        )  # fmt: skip
        fields = {name: value for name, value in vars(found).items() if not name.endswith("_request")}
        text = json.dumps(fields, indent=1, sort_keys=True)
        return text.replace(json.dumps(store.url), f'"{_STORE}"') + "\n"


def main() -> None:
    """Write the messages of this code."""
    text = record()
    version = json.loads(text)["task"]["version"]
    (FOLDER / f"protocol_{version}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
