"""``python -m tests.simulator``: prints the table of simulated fleets of deploy/INTERNALS.md."""

from __future__ import annotations

from tests.simulator.forecasts import table

for line in table():
    print(line)
