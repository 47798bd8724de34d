"""By the rule of compaction alone, over a simulated catalogue: how many files a stream has, and what they cost.

``python -m tests.benchmarks.compaction_rule [DAYS]``: one file a minute, in order and with late rows; a line a month.
"""

from __future__ import annotations

import sys

from runtime.catalogue.items.entries import DAY
from tests.runtime.upkeep.test_spans import MINUTE, Files, at


def main(days: int) -> None:
    """Print the curves."""
    for late in (0, 3 * DAY + DAY // 2):
        print(f"{late / DAY:g} days late (one row in ten)" if late else "in order")
        files, start = Files(), at("2024-01-01")
        for minute in range(days * 1440):
            newest = start + minute * MINUTE
            if late and minute % 10 == 0:
                files.add(newest - late, newest - late + MINUTE - 1, 10)
            files.add(newest, newest + MINUTE - 1, 20)
            files.upkeep(newest - late, newest, newest)
            if (minute + 1) % (30 * 1440) == 0 or minute + 1 == days * 1440:
                day, rewritten = (minute + 1) // 1440, files.written / files.ingested
                print(f"  day {day:3}: {len(files.live):3} files, at most {files.most:3}, {rewritten:.2f} rows a row")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 366)
