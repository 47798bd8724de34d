"""A report as text."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from tests.benchmarks.runner import OURS, Bar, Report


def show(report: Report, console: Console) -> None:
    """Print the timings, the ratios with their spread, the sizes and the bars."""
    console.print(f"{report.rows:,} points of {report.shape.fleet:,} devices; machine: {report.machine}")
    headings = ("question", "engine", "form", "min s", "median s", "max s", "CPU s", "M points/s")
    timings = Table(*headings, "ours is faster by", "by CPU")
    for question, rows in report.timings.items():
        for row in sorted(rows, key=lambda t: t.median):
            ratio = None if row.engine == OURS else report.ratio(question, row.engine, row.form)
            timings.add_row(
                question,
                row.engine,
                row.form,
                *(f"{s:.4f}" for s in (min(row.seconds), row.median, max(row.seconds), row.cpu_median)),
                f"{report.rows / row.median / 1e6:,.1f}",
                "" if ratio is None else f"{ratio.median:.1f}x ({min(ratio.rounds):.1f} to {max(ratio.rounds):.1f})",
                "" if ratio is None else f"{ratio.cpu_median:.1f}x",
            )
        timings.add_section()
    console.print(timings)
    sizes = Table("format", "version", "bytes a point", "load s")
    for name, size in report.bytes_per_point.items():
        sizes.add_row(name, report.versions[name], f"{size:.3f}", f"{report.load_seconds[name]:.1f}")
    console.print(sizes)
    for bar in report.bars():
        console.print(_line(bar))


def _line(bar: Bar) -> str:
    wanted = f"{'at most' if bar.at_most else 'at least'} {bar.wanted:g}"
    if bar.measured is None:
        return f"NOT MEASURED  {bar.name}: {wanted} wanted"
    return f"{'PASS' if bar.holds else 'FAIL'}  {bar.name}: {bar.measured:.2f}, {wanted} wanted"
