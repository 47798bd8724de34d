"""Watches the alarms of a deployment while an update runs for a share of the calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deploy.stack.actions.change_sets import Stack
from deploy.stack.resources.shift_alarms import SHIFT
from runtime.aws.access import Access
from runtime.aws.client import Client

PAUSE = 10.0
"""Seconds between two looks at the alarms; their shortest period is a minute."""

PAGE = 50
"""Alarms per request: a reply has no more unless it is asked for them."""


@dataclass(frozen=True)
class Ringing:
    """An alarm in state ALARM: its name, its description and CloudWatch's reason."""

    name: str
    says: str
    reason: str

    def __str__(self) -> str:
        return f"the alarm {self.name} rings ({self.reason.rstrip('.')}). {self.says}"


def _described(names: list[str], aws: Any) -> Any:
    return aws.describe_alarms(AlarmNames=names)


@dataclass
class Watch:
    """The alarms of a stack. ``ignored`` rang before the update began, which therefore did not cause them; ``before``
    are the alarms that there were then (None: not known), for one that the update adds may begin by ringing, as of a
    stream that has no points yet."""

    stack: Stack
    access: Access
    ignored: frozenset[str] = frozenset()
    before: frozenset[str] | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _client: Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = Client("cloudwatch", self.access)

    def names(self) -> list[str]:
        """The alarms to be watched: of those that an update added, the ones on its new versions."""
        found = [(id_, p) for id_, type_, p in self.stack.resources() if type_ == "AWS::CloudWatch::Alarm" and p]
        return [p for id_, p in found if self.before is None or p in self.before or id_.endswith(SHIFT)]

    def ringing(self, names: Sequence[str]) -> list[Ringing]:
        """Those that ring."""
        found: list[Ringing] = []
        for at in range(0, len(names), PAGE):
            reply = self._client.call("look at the alarms", partial(_described, list(names[at : at + PAGE])))
            found += [
                Ringing(
                    str(a["AlarmName"]), str(a.get("AlarmDescription", "")), str(a.get("StateReason") or "no reason")
                )
                for a in reply["MetricAlarms"]
                if a["StateValue"] == "ALARM"
            ]
        return sorted(found, key=lambda a: a.name)

    def quiet_for(self, seconds: float, report: Callable[[float, int], None]) -> Ringing | None:
        """The first alarm that rings within ``seconds``; None if all stay quiet.

        ``report`` is called at each look with the seconds left and the number of alarms.
        """
        names = self.names()
        end = self.clock() + seconds
        while True:
            for alarm in self.ringing(names):
                if alarm.name not in self.ignored:
                    return alarm
            left = end - self.clock()
            report(max(0.0, left), len(names))
            if left <= 0:
                return None
            self.sleep(min(PAUSE, left))
