"""``python -m tests.campaigns``: runs one campaign and prints what it tried; exits with 1 if anything failed."""

from __future__ import annotations

import argparse
import sys
import time

from tests.campaigns import CAMPAIGNS, campaign, feeds


def main(arguments: list[str] | None = None) -> int:
    """Run the campaign that ``arguments`` name; the number of its failures decides the exit status."""
    listed = "\n".join(f"  {name:12}{what}" for name, what in CAMPAIGNS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns",
        description=f"Campaigns:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=list(CAMPAIGNS), metavar="NAME", help="the campaign to run")
    parser.add_argument(
        "--examples", "--messages", type=int, default=10_000, help="how many examples to try (default 10,000)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed from which examples are drawn (default 0)")
    parser.add_argument("--kills", type=int, default=1, help="of feeds: how often each watcher is killed (default 1)")
    parser.add_argument("--only", choices=list(feeds.FEEDS), help="of feeds: one of them")
    options = parser.parse_args(arguments)
    begun = time.perf_counter()
    if options.name == "feeds":
        report = feeds.run(options.examples, options.seed, options.kills, options.only)
    else:
        report = campaign(options.name)(options.examples, options.seed)
    for line in report.lines():
        print(line)
    print(f"{time.perf_counter() - begun:.0f} s, seed {options.seed}")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
