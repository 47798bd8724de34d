"""`dataflow quarantine`: what is set aside is listed, shown, taken again or dismissed, and stays in every proof."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import main
from runtime import Store
from runtime.ingest import Settings, quarantine

OPTIONS: dict[str, Any] = {
    "key": "k", "time": "t", "unit": None, "format": "auto", "duplicates": None, "id": None, "missing_key": None,
}  # fmt: skip
GOOD = "k,t,v\nb,2024-01-05,1\n"


def set_aside(store: Store, path: str, reason: str, stream: str = "s") -> str:
    """Quarantine the file at a path; its id."""
    id_ = hashlib.sha256(f"{stream} {path}".encode()).hexdigest()
    settings = Settings.of(store.catalogue.schema(stream), stream, **OPTIONS)
    size = Path(path).stat().st_size if Path(path).exists() else 7
    assert quarantine(store.catalogue, stream, settings, id_, path, size, reason)
    return id_


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.chdir(tmp_path)
    made = Store(tmp_path / "store", create=True)
    Path("a.csv").write_text("k,t,v\na,2024-01-01,1\n")
    made.ingest("s", "a.csv", key="k", time="t", progress=False)
    return made


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(action: str, *given: str, code: int = 0) -> str:
        found = main(["quarantine", action, "store", *given])
        said = capsys.readouterr()
        assert found == code, said
        return said.out + said.err

    return run


def test_list(store: Store, run: Any) -> None:
    assert run("list") == "nothing is in quarantine\n"
    set_aside(store, "x.csv", "it is damaged")
    id_ = set_aside(store, "y.csv", "not a CSV file", stream="t")
    before = time.time_ns() // 1000
    said = run("list")
    assert [line.split()[0] for line in said.splitlines()[2:4]] == ["t", "s"]  # the newest first
    assert "not a CSV file" in said
    assert "dataflow quarantine show store " + id_[:8] in said
    (only,) = json.loads(run("list", "--reason", "damaged", "--json"))["sources"]
    assert (only["stream"], only["name"], only["bytes"], only["state"]) == ("s", "x.csv", 7, "waiting")
    assert only["short_id"] == only["id"][:8]
    (mine,) = store.quarantined("t")
    assert (mine.entry.id, mine.reason) == (id_, "not a CSV file")
    assert before - 60_000_000 < mine.at <= before
    assert [s["name"] for s in json.loads(run("list", "--stream", "s", "--json"))["sources"]] == ["x.csv"]
    assert "did you mean 's'" in run("list", "--stream", "S", code=1)


def test_show(store: Store, run: Any) -> None:
    Path("x.csv.gz").write_bytes(gzip.compress(b"k;t\n\x1b[2Jone\n" + b"z" * 300 + b"\n"))
    long = "no key: " + "because " * 60
    id_ = set_aside(store, "x.csv.gz", long)
    said = run("show", id_[:6])
    assert long.rstrip() in said
    assert id_ in said
    assert "begins  k;t\n" in said
    assert r"begins  \x1b[2Jone" in said
    assert "z" * 200 + "..." in said
    (whole,) = json.loads(run("show", "x.csv.gz", "--json"))["sources"]
    assert whole["first_lines"][0] == "k;t"
    assert (whole["unreadable"], whole["state"], whole["reason"]) == (None, "waiting", long)
    Path("x.csv.gz").unlink()
    assert "it cannot be read from here (No such file or directory)" in run("show", "x.csv.gz")


def test_a_dismissed_source_asks_for_nothing_and_is_in_every_proof(store: Store, run: Any, tmp_path: Path) -> None:
    set_aside(store, "x.csv", "it is damaged")
    set_aside(store, "y.csv", "it is damaged")
    assert "there is no terminal to ask: give --yes" in run("dismiss", "x.csv", code=2)
    assert "would be dismissed" in run("dismiss", "x.csv", "--dry-run")
    assert store.catalogue.snapshot("s").dismissed == 0
    said = run("dismiss", "x.csv", "--yes")
    assert "x.csv, of s: dismissed" in said
    assert "every proof counts them" in said
    assert "y.csv" in run("list")
    assert "x.csv" not in run("list")
    assert "1 dismissed (--all lists them)" in run("list")
    listed = json.loads(run("list", "--all", "--json"))["sources"]
    assert sorted((s["name"], s["state"]) for s in listed) == [("x.csv", "dismissed"), ("y.csv", "waiting")]
    run("dismiss", "--all", "--yes")
    assert run("list").startswith("nothing in quarantine waits for a decision\n2 dismissed")
    assert run("dismiss", "x.csv", "--yes") == "0 sources dismissed\n"
    result = counted(store)
    assert (result.proof.quarantined, result.proof.dismissed) == (2, 2)
    assert result.proof.to_dict()["dismissed"] == 2
    assert "2 sources set aside (2 dismissed)" in result.to_text()
    # The same failure, once more, brings nothing back; nor does another one.
    settings = Settings.of(store.catalogue.schema("s"), "s", **OPTIONS)
    id_ = hashlib.sha256(b"s x.csv").hexdigest()
    for reason in ("it is damaged", "it is worse"):
        assert not quarantine(store.catalogue, "s", settings, id_, "x.csv", 7, reason)
    assert store.catalogue.snapshot("s").dismissed == 2
    assert store.verify().ok
    # A backup has it, and so has what is rebuilt from what is left of a catalogue.
    store.backup(tmp_path / "backup")
    shutil.copytree("store", "other")
    Path("other/catalogue.sqlite").unlink()
    assert main(["recover", "other", "--from", "backup"]) == 0
    other = Store(tmp_path / "other")
    assert [s.state for s in other.quarantined()] == ["dismissed"] * 2
    assert other.catalogue.snapshot("s").dismissed == 2
    assert other.verify().ok


def counted(store: Store) -> Any:
    import dataflow as df

    return store.query(df.stream("s").group_by("k").agg(n=df.count()), progress=False)


def test_retry_here(store: Store, run: Any) -> None:
    Path("x.csv").write_text(GOOD)
    Path("bad.csv").write_text("\0\0\0")
    set_aside(store, "x.csv", "some old fault")
    set_aside(store, "bad.csv", "some old fault")
    set_aside(store, "gone.csv", "some old fault")
    set_aside(store, "long.csv", "some old fault")
    Path("long.csv").write_text(GOOD)
    assert "x.csv: would be taken again here" in run("retry", "x.csv", "--dry-run")
    said = run("retry", "--all", code=1)
    assert "x.csv: ingested; 1 row, 0 rejected" in said
    assert "bad.csv: still in quarantine; " in said
    assert "gone.csv: not taken; gone.csv: it cannot be read from here (No such file or directory)" in said
    assert "long.csv was changed since: 7 bytes were set aside, it has 21" in said
    assert {s.entry.name: s.reason == "some old fault" for s in store.quarantined()} == {
        "bad.csv": False, "gone.csv": True, "long.csv": True,
    }  # fmt: skip
    assert sum(s.rows for s in store.streams()) == 2
    assert counted(store).proof.quarantined == 3
    assert store.verify().ok


def test_a_retry_that_fails_for_the_same_reason_says_when(store: Store, run: Any) -> None:
    """It is a commit, so the list has another time; and it waits for a decision again, also if it was dismissed."""
    Path("bad.csv").write_text("\0\0\0")
    set_aside(store, "bad.csv", "some old fault")
    run("retry", "bad.csv", code=1)
    (first,) = store.quarantined()
    run("dismiss", "bad.csv", "--yes")
    assert "nothing in quarantine waits for a decision" in run("retry", "--all")
    assert json.loads(run("retry", "bad.csv", "--json", code=1))["retried"][0]["outcome"] == "still in quarantine"
    (again,) = store.quarantined()
    assert (again.reason, again.state) == (first.reason, "waiting")
    assert again.at > first.at
    assert store.catalogue.snapshot("s").dismissed == 0


def test_names(store: Store, run: Any) -> None:
    for name in ("in/x.csv", "out/x.csv", "y.csv"):
        set_aside(store, name, "it is damaged")
    assert "fits 2 sources in quarantine: " in run("show", "x.csv", code=1)
    assert "in/x.csv" in run("show", "in/x.csv")
    assert "no source 'z.csv' is in quarantine; did you mean 'y.csv'?" in run("show", "z.csv", code=1)
    both = [hashlib.sha256(f"s {n}".encode()).hexdigest() for n in ("in/x.csv", "y.csv")]
    assert "y.csv" in run("show", both[1][:8], both[1])
    run("dismiss", *both, "--yes")
    assert [s.entry.name for s in store.quarantined() if not s.entry.dismissed] == ["out/x.csv"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (("lsit",), "'lsit' is none of its values; did you mean 'list'?"),
        (("list", "x"), "list takes no sources: --stream and --reason choose some; show shows one"),
        (("retry",), "name the sources to retry (dataflow quarantine list shows them), or give --all"),
        (("dismiss", "x", "--all"), "name the sources to dismiss (dataflow quarantine list shows them), or give --all"),
        (("list", "--yes"), "--yes is for dismiss, not for list"),
        (("show", "x", "--name", "n"), "--name is for retry, not for show"),
        (("retry", "x", "--name", "n", "--here"), "--here takes the sources in this process"),
    ],
)
def test_usage(store: Store, run: Any, given: tuple[str, ...], says: str) -> None:
    assert says in run(*given, code=2)


def test_a_store_that_is_not_there(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", "list", "stroe"]) == 1
    assert "there is no store here; did you mean 'store'?" in capsys.readouterr().err
