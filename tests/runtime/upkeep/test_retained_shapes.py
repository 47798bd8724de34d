"""Every metric of the laws over a stream of which old points are retired: the answer of before, or an error."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dataflow.metrics.bind import bind
from dataflow.metrics.json_form import from_dict
from operators.errors import DataflowError
from runtime import Store
from runtime.query.plan import prepare
from runtime.query.task.task import stream_columns
from runtime.testing.oracle.strategies import DAY, HOUR
from tests.runtime.query.carry.carry_stores import (
    CARRIED,
    CROSSING,
    LATE,
    METRICS,
    NOT_CARRIED,
    SCHEMA,
    START,
    answer_of,
    ingest,
    stored,
)

FLOOR = START + 10 * DAY
RANGES = [
    (FLOOR, START + 14 * DAY),
    (START + 11 * DAY + 5 * HOUR, START + 12 * DAY + HOUR),
    (START + 13 * DAY + 1, START + 13 * DAY + 2),
]
NAMES = sorted(name for name in METRICS if "params" not in str(METRICS[name]))

Pairs = list[tuple[Store, Store]]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    """Stores with equal points, as they are and retained, twice, with a compaction in between."""
    made: Pairs = []
    for policy, id_ in (("keep", None), ("latest", "n")):
        whole, kept = (Store(tmp_path_factory.mktemp("store"), create=True) for _ in range(2))
        for store in (whole, kept):
            stored(store, policy, id_)
            ingest(store, LATE, policy, id_)
            ingest(store, CROSSING, policy, id_, one_file=True)
        kept.retain("s", before=START + 5 * DAY)
        kept.compact(progress=False)
        kept.retain("s", before=FLOOR)
        made.append((whole, kept))
    yield made
    for pair in made:
        for store in pair:
            store.close()


def outcome(store: Store, name: str, span: tuple[int, int]) -> str:
    try:
        return answer_of(store, name, *span).proof.result
    except DataflowError as error:
        return str(error)


@pytest.mark.parametrize("name", NAMES)
def test_the_answer_of_before_or_an_error(pairs: Pairs, name: str) -> None:
    plain = not bind(from_dict(METRICS[name]), stream_columns(SCHEMA), {}).plain
    for (whole, kept), spans in zip(pairs, (RANGES, RANGES[1:2]), strict=True):
        for span in spans:
            found = outcome(kept, name, span)
            if "are retired, and this metric looks back" in found:
                assert name not in CARRIED or not plain
            else:
                assert found == outcome(whole, name, span), span


def test_points_are_those_of_before(pairs: Pairs) -> None:
    for whole, kept in pairs:
        rows = kept.head("s", 1000).to_dict()["rows"]
        assert rows == whole.head("s", 1000, since=FLOOR).to_dict()["rows"]
        assert kept.verify().ok


@pytest.mark.parametrize(
    ("takes", "names"), [(True, NOT_CARRIED), (False, CARRIED)], ids=["too much is answered", "nothing is carried in"]
)
def test_the_rules_are_needed(pairs: Pairs, takes: bool, names: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "_takes_carried", lambda *_: takes)
    monkeypatch.setattr(prepare, "_check_floor", lambda *_: None)
    whole, kept = pairs[0]
    wrong = [name for name in names if outcome(kept, name, RANGES[1]) != outcome(whole, name, RANGES[1])]
    assert len(wrong) > 5
