"""A metric that does not fit its stream says which of its text columns have numbers, and why they are text."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store


def stored(folder: Path, *values: str) -> tuple[Store, str]:
    rows = "".join(f"a,2024-01-01T00:00:0{i}Z,{value},x\n" for i, value in enumerate(values))
    path = folder / "s.csv"
    path.write_text(f"k,t,v,w\n{rows}")
    store = Store(folder / "store", create=True)
    report = store.ingest("s", str(path), key="k", time="t", progress=False)
    return store, str(report)


def refused(store: Store) -> str:
    metric = df.stream("s").filter(df.col("w") == "x").agg(m=df.mean("v"))
    with pytest.raises(DataflowError) as error:
        store.query(metric, progress=False)
    return str(error.value)


def test_numbers_among_texts(tmp_path: Path) -> None:
    store, report = stored(tmp_path, "1.5", "off", "n.a.", "off")
    assert "v is text because of 3 values (the first, 'off', in line 3) beside 1 number: --type v=float64" in report
    said = refused(store)
    assert "v is text, but 1 of its 3 different values in the newest file is a number, others are like 'n.a.'" in said
    assert "--type COLUMN=float64" in said
    assert "w is text" not in said


def test_texts_alone(tmp_path: Path) -> None:
    store, report = stored(tmp_path, "on", "off")
    assert "because" not in report
    assert refused(store).endswith("mean cannot take string; it takes bool, duration, float64, int64, decimal")


def test_few_numbers_are_not_worth_a_word(tmp_path: Path) -> None:
    _, report = stored(tmp_path, "on", "off", "7", "on", "off")
    assert "because" not in report


def test_a_damaged_file_does_not_hide_the_error(tmp_path: Path) -> None:
    stored(tmp_path, "1.5", "off", "on")[0].close()
    for file in (tmp_path / "store").rglob("*.points"):
        file.chmod(0o600)
        file.write_bytes(b"damaged")
    with Store(tmp_path / "store") as store:
        assert refused(store).endswith("mean cannot take string; it takes bool, duration, float64, int64, decimal")


def test_other_errors_say_nothing_of_texts(tmp_path: Path) -> None:
    store, _ = stored(tmp_path, "1.5", "off", "on")
    with pytest.raises(DataflowError) as error:
        store.query(df.stream("s").filter(df.col("v") == "off").agg(m=df.mean("x")), progress=False)
    assert "is text" not in str(error.value)
