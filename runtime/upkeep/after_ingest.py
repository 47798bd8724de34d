"""What an ingest does for the store once its sources are committed: it compacts the years that they touched."""

from __future__ import annotations

from dataclasses import replace

from zstandard import ZstdError

from operators.errors import DataflowError
from runtime.ingest import IngestReport
from runtime.upkeep.compaction import Compaction

_NOT = "files were not compacted (the points are in the stream):"


def compacted(report: IngestReport, compaction: Compaction) -> IngestReport:
    """The report, with a line if files were compacted. The points are committed: a failure here is only noted, also one
    of memory or disk."""
    times = [t for source in report.sources for t in source.times or ()]
    if not times:
        return report
    try:
        done = compaction.what_is_due(min(times), max(times))
    except KeyboardInterrupt:
        return replace(report, upkeep="compaction was interrupted: nothing is half done, `dataflow compact` continues")
    except MemoryError:
        return replace(report, upkeep=f"{_NOT} out of memory")
    except (DataflowError, OSError, ZstdError) as error:
        return replace(report, upkeep=f"{_NOT} {error}")
    return replace(report, upkeep=str(done)) if done.jobs else report
