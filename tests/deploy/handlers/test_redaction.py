"""No quoted value reaches the log, however messages quote it; the names needed to mend do."""

from __future__ import annotations

import ast
import contextlib
import io
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dataflow.json.errors import short
from dataflow.values import mistaken
from deploy.handlers import logs, redaction
from deploy.handlers.redaction import SURE, redacted
from operators.errors import DataflowError

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("dataflow", "operators", "runtime", "deploy")

MARK = "Ж"
"""In no message: what of a secret must not be seen."""

_NOUN = re.compile(rf"\b(?:{redaction._NOUNS})s? \Z")


@dataclass(frozen=True)
class Template:
    """An f-string of the code: texts, and what is put between them (conversion and format)."""

    where: str
    parts: tuple[str | tuple[str, str], ...]

    def filled(self, secrets: list[Any]) -> str:
        """With a secret wherever ``repr`` quotes, but for names; plain words elsewhere."""
        out, left = "", list(secrets)
        for part in self.parts:
            if isinstance(part, str):
                out += part
            elif part[0] == "r" and not _NOUN.search(out):
                out += format(repr(left.pop(0) if left else "plain"), part[1])
            else:
                out += "'name'" if part[0] == "r" else "word"
        return out


@cache
def templates() -> list[Template]:
    """Every f-string of the packages that quotes with ``!r``."""
    found = []
    for path in (p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = tuple(_part(value) for value in node.values)
                if any(isinstance(p, tuple) and p[0] == "r" for p in parts):
                    found.append(Template(f"{path.relative_to(ROOT)}:{node.lineno}", parts))
    return found


def _part(value: ast.expr) -> str | tuple[str, str]:
    if isinstance(value, ast.Constant):
        return str(value.value)
    assert isinstance(value, ast.FormattedValue)
    spec = value.format_spec.values if isinstance(value.format_spec, ast.JoinedStr) else []
    given = "".join(str(v.value) for v in spec if isinstance(v, ast.Constant))
    return ("r" if value.conversion == ord("r") else "", given)


TEMPLATES = st.deferred(lambda: st.sampled_from(templates()))
ODD = st.text(st.sampled_from([MARK, MARK, *"'\"\\\n a=,[]{}()b"]), max_size=90)
TEXTS = st.one_of(ODD, st.just(MARK), st.just(MARK * 30), st.just(f"it's {MARK}"), st.text(max_size=80)).map(
    lambda text: text + MARK
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(TEXTS, TEXTS.map(str.encode), st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(TEXTS, inner, max_size=3),
    ),
    max_leaves=6,
)


def seen(text: str) -> bool:
    """Whether any of a secret is left: as it is, or as ``repr`` writes its bytes."""
    return MARK in text or "xd0" in text or "x96" in text


def line_of(error: Exception) -> str:
    """What the log has of an error."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        logs.Invocation().log("failed", "error", **logs.described(error))
    return str(json.loads(out.getvalue())["message"])


def test_there_are_messages() -> None:
    """The law below speaks of all of them."""
    assert len(templates()) > 150
    assert not any(seen(part) for t in templates() for part in t.parts if isinstance(part, str))
    cut = [(t.where, p[1]) for t in templates() for p in t.parts if isinstance(p, tuple) and p[0] == "r" and p[1]]
    assert len(cut) > 10
    # What SURE rests on: a cut value shows that much at least.
    assert [(where, spec) for where, spec in cut if not re.fullmatch(r"\.\d+", spec) or int(spec[1:]) < SURE] == []


@given(TEMPLATES, st.lists(VALUES, min_size=1, max_size=4))
@example(Template("", ("a.json has ", ("r", ""), " and ", ("r", ""))), [f"it's {MARK}", MARK])
@example(Template("", (("r", ".40"), " is not ", ("r", ""))), [f"{MARK} {'x' * 60}", f" {MARK}"])
@example(Template("", ("the device's ", ("r", ""), " isn't one")), [MARK])
@example(Template("", ("value ", ("r", ""), " of column 'n'")), [f"{MARK}\"'{MARK}"])
@example(Template("", (("r", ".60"), " must be ", ("r", ""))), [["a" * 20, "b" * 20, MARK * 20], MARK])
@example(Template("", ("not ", ("r", ".60"), "; say ", ("r", ""))), [(True, "a" * 44, MARK * 9), MARK])
def test_no_value_is_left(template: Template, secrets: list[Any]) -> None:
    """Whatever is quoted, in whichever message of the code."""
    assert not seen(line_of(DataflowError(template.filled(secrets))))


@given(TEMPLATES, TEMPLATES, VALUES, VALUES)
def test_no_value_is_left_of_a_cause(outer: Template, inner: Template, first: Any, second: Any) -> None:
    """Messages quote one another, and values within words of their own."""
    message = f"{outer.filled([first])} ({inner.filled([second])}); {outer.filled([second])}"
    assert not seen(line_of(ValueError(message)))


@given(VALUES)
def test_values_as_they_are_shortened(value: Any) -> None:
    for shown in (short(value), mistaken.shown(value)):
        assert not seen(line_of(DataflowError(f"x: {shown} is not a 'table'; say {value!r}")))
    assert not seen(line_of(KeyError(value if isinstance(value, str) else MARK)))


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("the device's file has column 'status' twice", "the device's file has column 'status' twice"),
        ("the streams' files; stream 'a.b-c' has none", "the streams' files; stream 'a.b-c' has none"),
        ("column 'n': 'secret' is no number; write 1.5", "column 'n': '...' is no number; write 1.5"),
        ("""value "it's 5" of column 'n'""", "value '...' of column 'n'"),
        (r"""value 'a"\' b' of column 'n'""", "value '...' of column 'n'"),
        ("got b'\\x00ab' (bytes)", "got '...' (bytes)"),
        ("[streams.a]: key = 5 is not a text", "[streams.a]: key = 5 is not a text"),
        ("no list: ['a', 'b'], but a text", "no list: '...', but a text"),
        ("Expecting value: line 1 column 1 (char 0)", "Expecting value: line 1 column 1 (char 0)"),
        ("a.json (it begins '{\"secret\": 1') has two", "a.json (it begins '...') has two"),
        (f"cut '{'x' * 60} and more", "cut '...'"),
        (f"column '{'x' * 60}' is there", f"column '{'x' * 60}' is there"),
        ("cannot read 'data/a-1' in s3://b/store: denied", "cannot read 'data/a-1' in s3://b/store: denied"),
        ("column 'two words' is there", "column '...' is there"),
    ],
)
def test_what_is_left(message: str, left: str) -> None:
    assert redacted(message) == left


def test_names_of_objects_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """With control characters escaped, and the end of a long one."""
    run = logs.Invocation()
    run.log("begun", object="s3://b/landing/s/it's \x1b[31m\x7f\n.json")
    run.log("begun", object=f"s3://b/landing/s/{'x' * 1_200}/last.json")
    first, second = capsys.readouterr().out.splitlines()
    assert first.isprintable()
    assert json.loads(first)["object"] == "s3://b/landing/s/it's \x1b[31m\x7f\n.json"
    shown = json.loads(second)["object"]
    assert len(shown) == logs._TEXT
    assert shown.startswith("s3://b/landing/s/xxx")
    assert shown.endswith("xxx/last.json")
