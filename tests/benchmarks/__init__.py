"""Speed and size beside peers, in one run: `python -m tests.benchmarks`."""
