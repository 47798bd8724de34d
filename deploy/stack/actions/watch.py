"""Watches the alarms of a deployment while an update runs for a share of the calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deploy.stack.actions.change_sets import Stack
from runtime.aws.access import Access
from runtime.aws.client import Client

PAUSE = 10.0
"""Seconds between two looks at the alarms; their shortest period is a minute."""


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
    """The alarms of a stack. ``ignored`` rang before the update began, which therefore did not cause them."""

    stack: Stack
    access: Access
    ignored: frozenset[str] = frozenset()
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _client: Client = field(init=False)

    def __post_init__(self) -> None:
        self._client = Client("cloudwatch", self.access)

    def names(self) -> list[str]:
        """The alarms of the stack now; an update may add some."""
        return [p for _, type_, p in self.stack.resources() if type_ == "AWS::CloudWatch::Alarm" and p]

    def ringing(self, names: Sequence[str]) -> list[Ringing]:
        """Those that ring."""
        found: list[Ringing] = []
        for at in range(0, len(names), 100):
            reply = self._client.call("look at the alarms", partial(_described, list(names[at : at + 100])))
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
