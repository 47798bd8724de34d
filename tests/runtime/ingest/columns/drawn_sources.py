"""Sources of every kind of value and fault, drawn by Hypothesis."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.runtime.ingest.lake import T

FUTURE = 32_503_680_000_000  # the year 3000, in milliseconds

WORDS = ["NA", "n/A", "nan", "-NaN", "NULL", "none", "?", "-", "Unavailable", "unknown", "inf", "-Infinity", "+INF"]
TEXTS = ["x", "y", "7", "1.5", "true", "--", "-NA", "+unknown", "nana", "é", "a b", *WORDS]
INTEGERS = ["0", "1", "-5", "-0", *(str(s * 2**53 + d) for s in (1, -1) for d in (-1, 0, 1))]
INTEGERS += [str(n) for n in (2**63 - 1, -(2**63))]
BEYOND = [str(n) for n in (2**63, -(2**63) - 1, 10**29)] + ["1e999", "-1E+400", "9" * 400]
FRACTIONS = ["1.5", "-0.0", "-0e0", "3.0", "1e5", "2E-2", "0.1", "1e-400", "123456789012345678.5", "1e300"]

# ---- JSON: texts of names and values

_texts = st.sampled_from(['""', '"\\u00e9\\n"', '"\\ud83d\\ude00"', *(f'"{text}"' for text in TEXTS)])
_scalars = st.one_of(
    st.sampled_from(["null", "true", "false"]),
    st.sampled_from(INTEGERS),
    st.sampled_from(FRACTIONS),
    _texts,
    st.sampled_from([*BEYOND, "NaN", "Infinity", "-Infinity", '"\\ud800"', '"\\udc00x"']),
)
_names = st.sampled_from(
    ['"p"'] * 4 + ['"q"'] * 4 + ['"r"'] * 3
    + ['"\\u0070"', '"p.q"', '"p.q_2"', '"new"', '"é"']
    + ['""', '"$seq"', '"a\\tb"', '"\\ud800"', f'"{"n" * 254}"', f'"{"m" * 257}"']
)  # fmt: skip


def _object(fields: st.SearchStrategy[list[tuple[str, str]]]) -> st.SearchStrategy[str]:
    return fields.map(lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}")


_nested = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        _object(st.lists(st.tuples(_names, inner), max_size=3)),
        st.lists(inner, max_size=3).map(lambda v: f"[{', '.join(v)}]"),
    ),
    max_leaves=4,
)
_values = st.one_of(_scalars, _scalars, _scalars, _nested)
_measured = st.sampled_from([*INTEGERS, *FRACTIONS, *(f'"{word}"' for word in WORDS), '""', "NaN"])


def _unless(usual: st.SearchStrategy[str], odd: list[str]) -> st.SearchStrategy[list[str]]:
    """Mostly one of the usual ones; sometimes another, none, or two."""
    return st.one_of(
        *[usual.map(lambda v: [v])] * 12, st.sampled_from(odd).map(lambda v: [v]), st.just([]), st.just([odd[0]] * 2)
    )


_keys = _unless(
    st.sampled_from(['"a"', '"b"']), ["null", "7", '""', "true", "1.5", "[1]", "NaN", "9" * 25, '"\\ud800"']
)
_times = _unless(st.integers(T, T + 50).map(str), ["null", '"soon"', "-5", str(FUTURE), "false", "[1]", '"\\ud800"'])


json_fields = st.lists(st.tuples(_names, _values), max_size=5).map(
    lambda fields: "".join(f",{name}:{value}" for name, value in fields)
)
"""Further fields of a record, as text with a comma before each."""


@st.composite
def json_lines(draw: st.DrawFn) -> list[str]:
    """Records as text: of any fields, or of few names and values, which then meet in the same columns."""
    names, values = _names, _values
    of = draw(st.sampled_from([None, _values, _measured, _measured]))
    if of is not None:
        names = st.sampled_from(draw(st.lists(_names, min_size=1, max_size=2)))
        values = st.sampled_from(draw(st.lists(of, min_size=1, max_size=4)))
    out = []
    for _ in range(draw(st.integers(1, 12))):
        fields = draw(st.lists(st.tuples(names, values), max_size=4))
        fields += [('"k"', key) for key in draw(_keys)] + [('"t"', time) for time in draw(_times)]
        space = draw(st.sampled_from(["", "", " "]))
        out.append("{" + f",{space}".join(f"{n}:{space}{v}" for n, v in draw(st.permutations(fields))) + "}")
    return out


# ---- CSV

_cells = st.one_of(
    st.just(""),
    st.sampled_from([*INTEGERS, *FRACTIONS]),
    st.sampled_from(["true", "True", "FALSE", "tRUE"]),
    st.sampled_from([*TEXTS, "007", "+1", ".5", "1.", 'a "b"', "x,y"]),
    st.sampled_from(BEYOND),
)
CSV_NAMES = ["k", "t", "p", "q", "r", "p.q"]


@st.composite
def csv_lines(draw: st.DrawFn) -> list[str]:
    """Rows as text."""
    of = draw(st.sampled_from([None, _cells, st.sampled_from([*INTEGERS, *FRACTIONS, *WORDS])]))
    cells = _cells if of is None else st.sampled_from(draw(st.lists(of, min_size=1, max_size=4)))
    out = io.StringIO()
    for _ in range(draw(st.integers(1, 12))):
        key = draw(st.sampled_from([*["a", "b", "7"] * 3, ""]))
        time = draw(st.one_of(*[st.integers(T, T + 50).map(str)] * 8, st.sampled_from(["", "soon", str(FUTURE)])))
        csv.writer(out, lineterminator="\n").writerow([key, time, *(draw(cells) for _ in CSV_NAMES[2:])])
    return out.getvalue().splitlines(keepends=True)


# ---- sources


@dataclass(frozen=True)
class Drawn:
    """A source: records of JSON in a framing, or rows of CSV."""

    form: str
    lines: list[str]

    def text(self, number: int) -> str:
        """The text; the number of the source makes it another one than an equal one before."""
        if self.form == "csv":
            return ",".join(CSV_NAMES) + "\n" + "".join(self.lines) + "\n" * number
        if self.form == "array":
            return "[" + ",".join(self.lines) + "]" + " " * number
        return ("\n" if self.form == "lines" else "").join(self.lines) + " " * number


drawn_sources = st.one_of(
    st.builds(Drawn, st.sampled_from(["lines", "lines", "array", "one line"]), json_lines()),
    st.builds(Drawn, st.just("csv"), csv_lines()),
)
