"""Schemas of streams: widening, contradictions, and their JSON form."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.types import STORED, Type
from runtime.catalogue import StreamSchema, set_hash
from runtime.catalogue.items.entries import shifted_hash
from runtime.errors import FormatError, SchemaConflict

BASE = StreamSchema("device", Type.STRING, "ts", {"temp": Type.INT})
COLUMNS = st.dictionaries(st.text(max_size=4).filter(lambda n: n not in ("device", "ts")), st.sampled_from(STORED))


@given(COLUMNS, COLUMNS)
def test_merging_widens_or_conflicts(old: dict[str, Type], new: dict[str, Type]) -> None:
    a, b = replace(BASE, columns=old), replace(BASE, columns=new)
    clash = [n for n in old if n in new and old[n] != new[n] and {old[n], new[n]} != {Type.INT, Type.FLOAT}]
    if clash:
        with pytest.raises(SchemaConflict, match="ingest into another stream"):
            a.merged_with(b)
        return
    merged = a.merged_with(b)
    assert list(merged.columns) == list(old) + [n for n in new if n not in old]
    for name, type_ in merged.columns.items():
        sides = {c[name] for c in (old, new) if name in c}
        assert type_ is (Type.FLOAT if len(sides) == 2 else next(iter(sides)))
    assert merged.merged_with(b) is merged
    assert merged.merged_with(a) is merged
    assert StreamSchema.from_dict(merged.to_dict()) == merged


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "account"}, r"key is 'device'.*'account'.*--key"),
        ({"key_type": Type.INT}, r"key type is 'string'.*'int64'"),
        ({"time": "at"}, r"time column is 'ts'.*'at'.*--time"),
        ({"duplicates": "latest"}, r"duplicates policy is 'keep'.*'latest'.*--duplicates"),
        ({"id": "event"}, r"id column is none.*'event'.*--id"),
        ({"columns": {"temp": Type.BOOL}}, r"'temp' is int64.*bool"),
    ],
)
def test_contradictions(change: dict[str, object], message: str) -> None:
    with pytest.raises(SchemaConflict, match=message):
        BASE.merged_with(replace(BASE, **change))


def test_unit_and_missing_key_are_the_newest_given() -> None:
    first = BASE.merged_with(replace(BASE, unit="ms", missing_key="?"))
    assert (first.unit, first.missing_key) == ("ms", "?")
    assert first.merged_with(BASE) is first
    assert first.merged_with(replace(BASE, unit="s")).unit == "s"


@pytest.mark.parametrize(
    "change",
    [{"key_type": Type.FLOAT}, {"duplicates": "some"}, {"key": "ts"}, {"key": "temp"}, {"time": "temp"}],
)
def test_schemas_that_cannot_be(change: dict[str, object]) -> None:
    with pytest.raises(SchemaConflict):
        replace(BASE, **change)
    data = BASE.to_dict() | {k: str(v) for k, v in change.items()}
    with pytest.raises(FormatError):
        StreamSchema.from_dict(data)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        BASE.to_dict() | {"more": 1},
        BASE.to_dict() | {"key": 5},
        BASE.to_dict() | {"columns": []},
        BASE.to_dict() | {"columns": {"temp": "int32"}},
        BASE.to_dict() | {"columns": {"temp": ["int64"]}},
        BASE.to_dict() | {"unit": 3},
    ],
)
def test_json_that_is_no_schema(data: object) -> None:
    with pytest.raises(FormatError):
        StreamSchema.from_dict(data)


@given(st.sets(st.text()), st.sets(st.text()))
def test_the_set_hash_is_of_a_set(a: set[str], b: set[str]) -> None:
    assert shifted_hash(set_hash(a), sorted(b - a), sorted(a - b)) == set_hash(sorted(b, reverse=True))
    assert (set_hash(a) == set_hash(b)) == (a == b)


def test_integers_beyond_float64_and_fractions_are_a_conflict_in_either_order() -> None:
    wide = replace(BASE, wide={"temp": True})
    real = replace(BASE, columns={"temp": Type.FLOAT})
    for one, other in ((wide, real), (real, wide)):
        with pytest.raises(SchemaConflict, match=r"beyond 2\^53"):
            one.merged_with(other)
    unknown = replace(BASE, wide={"temp": False})
    assert unknown.merged_with(real).wide == {}  # who brings fractions has looked at the files
    assert unknown.merged_with(wide).wide == {"temp": True}
    assert BASE.merged_with(unknown).wide == {"temp": False}


def test_a_schema_from_before_says_that_it_does_not_know() -> None:
    form = BASE.to_dict()
    assert StreamSchema.from_dict(form) == BASE
    del form["wide"]
    assert StreamSchema.from_dict(form).wide == {"temp": False}
    for wrong in ({"other": True}, {"temp": 1}, []):
        with pytest.raises(FormatError):
            StreamSchema.from_dict(form | {"wide": wrong})
