"""Says of text columns that a metric names which of their values are numbers: often the reason why it does not fit."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import product

from dataflow.binding.typing import GraphError
from dataflow.metrics.bind import streams_of
from dataflow.metrics.json_form import to_dict
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.pointfile import PointFile
from runtime.query.plan.absent_columns import texts
from runtime.query.plan.prepare import Prepared, Request, Snapshots, prepare

_SHOWN = 40
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def prepare_or_explain(catalogue: Snapshots, request: Request, open_file: Callable[[FileEntry], PointFile]) -> Prepared:
    """The planned query (see ``prepare``); if the metric does not fit, the GraphError says which of its text columns
    have numbers among their values."""
    try:
        return prepare(catalogue, request)
    except GraphError as error:
        if str(Type.STRING) not in str(error):
            raise
        try:
            why = _numbers_as_text(catalogue, request, open_file)
        except DataflowError:  # a damaged file is not what this error is about
            why = ""
        raise GraphError(f"{error}{why}") from None


def _numbers_as_text(catalogue: Snapshots, request: Request, open_file: Callable[[FileEntry], PointFile]) -> str:
    graph = to_dict(request.steps)
    said = []
    snapshots = [catalogue.snapshot(name) for name in streams_of(request.steps)]
    for snapshot, name in product(snapshots, sorted({*texts(graph)})):
        if snapshot.schema.columns.get(name) is not Type.STRING:
            continue
        newest = next((f for f in reversed(snapshot.files) if name in f.nulls), None)
        words = [] if newest is None else open_file(newest).dictionary(name).strings
        others = [word for word in words if not _NUMBER.fullmatch(word)]
        if len(others) == len(words):
            continue
        count = len(words) - len(others)
        numbers = "is a number" if count == 1 else "are numbers"
        share = f"{count:,} of its {len(words):,} different values in the newest file {numbers}"
        like = f", others are like {others[0][:_SHOWN]!r}" if others else ""
        said.append(f"; {name} is text, but {share}{like}")
    if not said:
        return ""
    how = "ingest into another stream with --type COLUMN=float64 (and --null WORD for words that mean missing)"
    return f"{''.join(said)}: {how}"
