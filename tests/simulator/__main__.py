"""``python -m tests.simulator``: the table of simulated fleets that stands in deploy/README.md."""

from __future__ import annotations

from tests.simulator.forecasts import table

for line in table():
    print(line)
