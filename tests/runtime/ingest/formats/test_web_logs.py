"""Logs of web servers: common, combined, W3C; every line is a row or a reject with its reason, place and text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IngestError
from tests.runtime.ingest.lake import Lake
from tests.runtime.ingest.records.pieces import in_any_pieces, in_pieces, is_text
from tests.runtime.ingest.test_properties import exactly, new_lake

COMMON = '10.0.0.1 - frank [31/Dec/2024:13:05:01 +0100] "GET /a?b=1 HTTP/1.1" 200 512'
ROW = {
    "k": "10.0.0.1",
    "t": 1735646701000000,
    "user": "frank",
    "request": "GET /a?b=1 HTTP/1.1",
    "method": "GET",
    "path": "/a?b=1",
    "protocol": "HTTP/1.1",
    "status": 200,
    "bytes": 512,
}


def taken(text: str | bytes, format: str, **options: Any) -> tuple[list[dict[str, Any]], list[tuple[Any, ...]]]:
    """The rows, and line, byte, reason and text of the rejects."""
    with new_lake() as lake:
        report = lake.text(text, format=format, **{"key": None, "time": None, "unit": None, **options})
        return lake.rows(), [(r.line, r.byte, r.reason, r.text) for r in report.sources[0].examples]


# ---- common and combined


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_common_line(end: str) -> None:
    assert taken(COMMON + end, "clf") == ([ROW], [])


def test_a_combined_line() -> None:
    line = f'{COMMON} "http://a.b/c" "Mozilla/5.0 (X11; \\"x\\")"'
    row = {**ROW, "referer": "http://a.b/c", "agent": 'Mozilla/5.0 (X11; "x")'}
    assert taken(line, "combined") == taken(line, "clf") == ([row], [])
    assert taken(f'{line} "1.2.3.4"', "combined") == ([{**row, "forwarded_for": "1.2.3.4"}], [])


LINES = {
    '::1 - - [01/Jan/2024:00:00:00 +0000] "-" 408 -': {"k": "::1", "request": None, "status": 408},
    'h - a b [01/Jan/2024:00:00:00 +0000] "GET /" 200 0': {
        "k": "h",
        "user": "a b",
        "request": "GET /",
        "method": "GET",
        "path": "/",
        "status": 200,
        "bytes": 0,
    },
    'h - - [01/Jan/2024:00:00:00 +0000] "\\x16\\x03\\x01" 400 1': {
        "k": "h",
        "request": "\x16\x03\x01",
        "status": 400,
        "bytes": 1,
    },
    'h - - [01/Jan/2024:00:00:00 +0000] "GET /\\xc3\\xa9\\t\\\\ HTTP/2.0" 200 1': {
        "k": "h",
        "request": "GET /é\t\\ HTTP/2.0",
        "method": "GET",
        "path": "/é\t\\",
        "protocol": "HTTP/2.0",
        "status": 200,
        "bytes": 1,
    },
    'h - - [01/Jan/2024:00:00:00 +0000] "GET /\\xff HTTP/1.1" 200 1': {
        "k": "h",
        "request": "GET /\\xff HTTP/1.1",
        "method": "GET",
        "path": "/\\xff",
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 1,
    },
    'h i - [2024-01-01T01:00:00+01:00] "GET /a b c HTTP/1.1" - 1': {
        "k": "h",
        "ident": "i",
        "request": "GET /a b c HTTP/1.1",
        "method": "GET",
        "path": "/a b c",
        "protocol": "HTTP/1.1",
        "bytes": 1,
    },
}


@pytest.mark.parametrize("line", LINES)
def test_lines(line: str) -> None:
    want = {name: value for name, value in LINES[line].items() if value is not None}
    assert taken(line, "clf") == ([{"t": 1704067200000000, **want}], [])


def test_what_does_not_fit_is_rejected() -> None:
    bad = [
        COMMON.replace('"GET', "GET"),
        COMMON.replace(" 512", " x"),
        COMMON.replace("[", ""),
        f'{COMMON} "referer"',
        f"{COMMON} ",
    ]
    text = "\n".join(x for line in bad for x in (COMMON, line, ""))
    reason = 'clf: not host ident user [time] "request" status bytes'
    rows, rejects = in_any_pieces(lambda: taken(text, "clf"))
    assert rows == [ROW] * 5
    assert rejects == [(2, 76, reason, bad[0])]  # the first of its reason
    with new_lake() as lake:
        report = lake.text(text, format="clf", key=None, time=None, unit=None)
        assert report.sources[0].reasons == {reason: 5}


def test_times_that_are_none() -> None:
    text = "\n".join([COMMON, COMMON.replace("Dec", "Dez"), COMMON.replace("31/Dec", "32/Dec")])
    rows, rejects = in_any_pieces(lambda: taken(text, "clf"))
    assert rows == [ROW]
    assert [r[:2] for r in rejects] == [(2, 76)]
    assert rejects[0][2].startswith("time: column time: '31/Dez/2024:13:05:01 +0100' is not a time")


def test_not_utf8() -> None:
    rows, rejects = taken(COMMON.encode() + b"\n\xff\xfe\n" + COMMON.encode(), "clf")
    assert rows == [ROW] * 2
    assert rejects == [(2, 76, "not UTF-8", "\ufffd\ufffd")]


def test_a_line_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ingest.records.text_lines.MAX_LINE", 100)
    with in_pieces(50):
        rows, rejects = taken(f"{COMMON}\n{'x' * 1000}\n{COMMON}\n", "clf")
    assert rows == [ROW] * 2
    assert [r[:3] for r in rejects] == [(2, 76, "line longer than 0 MB")]


def test_combined_needs_referer_and_agent(lake: Lake) -> None:
    with pytest.raises(IngestError, match=r'combined: not host .* bytes "referer" "agent"'):
        lake.text(COMMON, format="combined", key=None, time=None, unit=None)


words = st.text(
    st.characters(min_codepoint=33, exclude_categories=["Cs", "Cc", "Z"], exclude_characters='"\\[]'),
    min_size=1,
    max_size=6,
).filter(is_text)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).filter(is_text)
entries = st.fixed_dictionaries(
    {
        "host": words,
        "ident": st.none() | words,
        "user": st.none() | words,
        "time": st.datetimes(datetime(1971, 1, 1), datetime(2024, 1, 1)),
        "offset": st.integers(-14 * 60, 14 * 60),
        "request": st.none() | texts,
        "status": st.none() | st.integers(100, 999),
        "bytes": st.none() | st.integers(0, 2**63 - 1),
        "referer": st.none() | texts,
        "agent": st.none() | texts,
    }
)


def escaped(text: str, high: bool) -> str:
    """As Apache does it: backslash escapes for quotes and control characters, bytes in hexadecimal."""
    out = bytearray()
    for byte in text.encode():
        if byte in b'"\\':
            out += b"\\" + bytes([byte])
        elif byte in b"\n\r\t\b\v":
            out += b"\\" + {10: b"n", 13: b"r", 9: b"t", 8: b"b", 11: b"v"}[byte]
        elif byte < 32 or byte == 127 or (high and byte > 127):
            out += f"\\x{byte:02x}".encode()
        else:
            out.append(byte)
    return out.decode()


def quoted(text: str | None, high: bool) -> str:
    return '"-"' if text is None else f'"{escaped(text, high)}"'


@given(st.lists(entries, min_size=1, max_size=8), st.booleans(), st.integers(1, 200))
def test_combined_logs_come_back(rows: list[dict[str, Any]], high: bool, size: int) -> None:
    lines, expected = [], []
    for row in rows:
        zone = timezone(timedelta(minutes=row["offset"]))
        at = row["time"].replace(microsecond=0, tzinfo=UTC).astimezone(zone)
        lines.append(
            f"{row['host']} {row['ident'] or '-'} {row['user'] or '-'} [{at:%d/%b/%Y:%H:%M:%S %z}] "
            f"{quoted(row['request'], high)} {row['status'] or '-'} {'-' if row['bytes'] is None else row['bytes']} "
            f"{quoted(row['referer'], high)} {quoted(row['agent'], high)}"
        )
        kept = {n: row[n] for n in ("ident", "user", "request", "status", "bytes", "referer", "agent")}
        micros = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        expected.append({"k": row["host"], "t": micros, **{n: v for n, v in kept.items() if v not in (None, "-")}})
    with in_pieces(size):
        found, rejects = taken("\n".join(lines) + "\n", "combined")
    for row in found:
        for name in ("method", "path", "protocol"):
            assert row.pop(name, "") in row.get("request", "")
    assert rejects == []
    assert sorted(exactly(found)) == sorted(exactly(expected))


# ---- W3C


def w3c(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def test_w3c_is_detected(lake: Lake) -> None:
    text = w3c(
        "#Software: Microsoft Internet Information Services 10.0",
        "#Version: 1.0",
        "#Date: 2024-01-01 00:00:01",
        "#Fields: date time s-ip cs-method cs-uri-query c-ip cs(User-Agent) sc-status time-taken",
        "2024-01-01 00:00:01 10.0.0.9 GET - 10.0.0.1 Mozilla/5.0+(X11) 200 15",
    )
    lake.text(text, key="c-ip", time="time", unit=None)
    assert lake.rows() == [
        {
            "k": "10.0.0.1",
            "t": 1704067201000000,
            "s-ip": "10.0.0.9",
            "cs-method": "GET",
            "cs(User-Agent)": "Mozilla/5.0+(X11)",
            "sc-status": 200,
            "time-taken": 15,
        }
    ]


def test_w3c_with_tabs_keeps_what_is_encoded() -> None:
    text = w3c(
        "#Version: 1.0",
        "#Fields: date time x-edge-location sc-bytes c-ip cs(Host) cs(Cookie)",
        "2024-01-01\t00:00:01\tFRA\t100\t10.0.0.1\ta%20b%2522\t-",
    )
    row = {"k": "10.0.0.1", "t": 1704067201000000, "x-edge-location": "FRA", "sc-bytes": 100, "cs(Host)": "a%20b%2522"}
    assert in_any_pieces(lambda: taken(text, "w3c")) == ([row], [])
    assert in_any_pieces(lambda: taken(text, "auto", preset="cloudfront")) == ([row], [])


def test_fields_change_in_the_middle() -> None:
    text = w3c(
        "#Fields: date time c-ip x",
        "2024-01-01 00:00:01 a 1.5",
        "#Remark: a restart",
        "#Fields: c-ip time date y",
        "b 00:00:02 2024-01-01 2",
        "b 00:00:02",
        '#Fields: time c-ip "odd',
        "#Date: 2024-01-02 17:00:00",
        '00:00:03 c "d e ""f"""',
    )
    rows, rejects = in_any_pieces(lambda: taken(text, "w3c"))
    assert rows == [
        {"k": "a", "t": 1704067201000000, "x": 1.5},
        {"k": "b", "t": 1704067202000000, "y": 2},
        {"k": "c", "t": 1704153603000000, '"odd': 'd e "f"'},
    ]
    assert rejects == [(6, 121, "w3c: 2 values for the 4 columns of #Fields", "b 00:00:02")]


def test_w3c_that_does_not_fit() -> None:
    text = w3c(
        "00:00:01 a",
        "#Fields: time c-ip",
        "00:00:01 a",
        "#Date: 2024-01-01 00:00:00",
        '00:00:01 "a',
        "00:00:01 a",
    )
    rows, rejects = in_any_pieces(lambda: taken(text, "w3c"))
    assert [r["k"] for r in rows] == ["a"]
    assert rejects == [
        (1, 0, "w3c: no #Fields line before it", "00:00:01 a"),
        (3, 30, "w3c: a time without a date, and no #Date line before it", "00:00:01 a"),
        (5, 68, "w3c: a quote that is not closed, or text after it, at character 9", '00:00:01 "a'),
    ]


def test_text_that_looks_like_a_number_stays_in_a_column_of_text() -> None:
    text = w3c(
        "#Fields: date time c-ip v",
        *(f"2024-01-01 00:00:0{n} a {v}" for n, v in enumerate(["1.10", "1.9", "x", "y", "z"])),
    )
    rows, _ = taken(text, "w3c")
    assert [r["v"] for r in rows] == ["1.10", "1.9", "x", "y", "z"]
