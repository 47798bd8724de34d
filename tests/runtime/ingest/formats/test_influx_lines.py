"""InfluxDB: line protocol and annotated CSV; what is written comes back, what does not fit is rejected."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IngestError
from tests.runtime.ingest.formats.test_web_logs import taken
from tests.runtime.ingest.lake import Lake
from tests.runtime.ingest.records.pieces import in_any_pieces, in_pieces, is_text
from tests.runtime.ingest.test_properties import exactly

NS = 1_700_000_000_123_456_789
US = NS // 1000
FORM = "line-protocol"

POINTS: dict[str, dict[str, Any]] = {
    f"cpu usage=0.5 {NS}": {"k": "cpu", "measurement": "cpu", "usage": 0.5},
    f"cpu,host=a,dc=b usage=0.5,n=3i,u=4u {NS}": {
        "k": "cpu,dc=b,host=a",
        "measurement": "cpu",
        "host": "a",
        "dc": "b",
        "usage": 0.5,
        "n": 3,
        "u": 4,
    },
    f"m a=t,b=T,c=true,d=True,e=TRUE,f=f,g=F,h=false,i=False,j=FALSE {NS}": {
        "k": "m",
        "measurement": "m",
        **dict.fromkeys("abcde", True),
        **dict.fromkeys("fghij", False),
    },
    f"m a=1,b=-1.5,c=1.,d=.5,e=1e3,f=-2.5E-3 {NS}": {
        "k": "m",
        "measurement": "m",
        "a": 1.0,
        "b": -1.5,
        "c": 1.0,
        "d": 0.5,
        "e": 1000.0,
        "f": -0.0025,
    },
    f'm s="a \\"b\\", = \\\\ c\\d",e="" {NS}': {"k": "m", "measurement": "m", "s": 'a "b", = \\ c\\d'},
    f"we\\,at\\ her,loc\\,a\\=t\\ ion=us\\,mid\\=w\\ est te\\,m\\=p\\ x=82 {NS}": {
        "k": "we\\,at\\ her,loc\\,a\\=t\\ ion=us\\,mid\\=w\\ est",
        "measurement": "we,at her",
        "loc,a=t ion": "us,mid=w est",
        "te,m=p x": 82.0,
    },
    f"a\\b,c\\d=e\\f g\\h=1i {NS}": {"k": "a\\b,c\\d=e\\f", "measurement": "a\\b", "c\\d": "e\\f", "g\\h": 1},
    f"  m,x=1   y=2i \t {NS}  ": {"k": "m,x=1", "measurement": "m", "x": "1", "y": 2},
    f"m,x=tag,time=t,measurement=z x=1i,time=2i {NS}": {
        "k": "m,measurement=z,time=t,x=tag",
        "measurement": "m",
        "x": "tag",
        "time_2": "t",
        "measurement_2": "z",
        "x_2": 1,
        "time_3": 2,
    },
}


@pytest.mark.parametrize("line", POINTS)
def test_points(line: str) -> None:
    text = f"# a comment\n\n{line}\r\n   # another"
    assert in_any_pieces(lambda: taken(text, FORM)) == ([{"t": US, **POINTS[line]}], [])


def test_key_and_unit_of_ones_own() -> None:
    rows, _ = taken("cpu,host=a v=1i 1700000000\n", FORM, key="host", unit="s")
    assert rows == [{"k": "a", "t": 1_700_000_000_000_000, "measurement": "cpu", "v": 1}]


BROKEN = {
    "m": "line protocol: no fields",
    f"m {NS}": "line protocol: a field that is not name=value at character 3",
    f",a=b c=1 {NS}": "line protocol: no measurement",
    f"m,a c=1 {NS}": "line protocol: a tag that is not name=value at character 2",
    f"m,a= c=1 {NS}": "line protocol: a tag that is not name=value at character 2",
    f"m,a=b,a=c d=1 {NS}": "line protocol: the tag a occurs twice",
    f"m a=1,a=2 {NS}": "line protocol: the field a occurs twice",
    f"m a=1, b=2 {NS}": "line protocol: a field that is not name=value at character 7",
    f"m a=x {NS}": "line protocol: 'x' is no value of a field",
    f"m a=1.5i {NS}": "line protocol: '1.5i' is no value of a field",
    f"m a=-1u {NS}": "line protocol: '-1u' is no value of a field",
    f"m a=NaN {NS}": "line protocol: 'NaN' is no value of a field",
    f'm a="open {NS}': "line protocol: a field that is not name=value at character 3",
    f'm a="x"y {NS}': "line protocol: not a timestamp at character 8",
    "m a=1 12:30": "line protocol: not a timestamp at character 6",
    f"m a=1 {NS} 5": "line protocol: not a timestamp at character 6",
    "m a=1": "time: column time is missing or null",
    "m a=1e999 1": "line protocol: number too large for a float64",
}


@pytest.mark.parametrize("line", BROKEN)
def test_lines_that_do_not_fit(line: str) -> None:
    text = f"g v=1i {NS}\n{line}\ng v=2i {NS}\n"
    rows, rejects = in_any_pieces(lambda: taken(text, FORM))
    assert [r["v"] for r in rows] == [1, 2]
    assert rejects == [(2, 27, BROKEN[line], line)]


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\\"), min_size=1, max_size=5).filter(
    is_text
)
name = names.filter(
    lambda n: n not in ("time", "measurement") and not n.startswith("#") and not n.isspace() and n == n.strip()
)
fields = {
    "n": st.integers(-(2**63), 2**63 - 1),
    "f": st.floats(allow_nan=False, allow_infinity=False),
    "b": st.booleans(),
    "s": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8).filter(is_text),
}


def escaped(text: str) -> str:
    return re.sub("([, =])", r"\\\1", text)


def field(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value}i"
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"' if isinstance(value, str) else repr(value)


@given(
    st.lists(
        st.tuples(
            name,
            st.dictionaries(name, names, max_size=3),
            st.sets(st.sampled_from(sorted(fields)), min_size=1).flatmap(
                lambda some: st.fixed_dictionaries({n: fields[n] for n in some})
            ),
            st.integers(0, NS),
        ),
        min_size=1,
        max_size=6,
    ),
    st.integers(1, 80),
)
def test_line_protocol_comes_back(points: list[tuple[str, dict[str, str], dict[str, Any], int]], size: int) -> None:
    lines, expected = [], []
    for measurement, tags, values, at in points:
        tags = {n: v for n, v in tags.items() if f"{n}!" not in tags and n not in ("k", "t")}
        head = ",".join(
            [re.sub("([, ])", r"\\\1", measurement), *(f"{escaped(n)}={escaped(v)}" for n, v in tags.items())]
        )
        lines.append(f"{head} {','.join(f'{n}!={field(v)}' for n, v in values.items())} {at}")
        series = ",".join(
            [re.sub("([, ])", r"\\\1", measurement), *(f"{escaped(n)}={escaped(tags[n])}" for n in sorted(tags))]
        )
        own = {f"{n}!": v for n, v in values.items()}
        if set(own) & set(tags):
            own = {f"{n}_2" if n in tags else n: v for n, v in own.items()}
        expected.append({"k": series, "t": at // 1000, "measurement": measurement, **tags, **own})
    with in_pieces(size):
        found, rejects = taken("\n".join(lines), FORM)
    assert rejects == []
    assert sorted(exactly(found)) == sorted(exactly(expected))


# ---- annotated CSV

TABLES = """\
#group,false,false,true,true,false,false,true,true,true
#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string,string,string
#default,mean,,,,,,,,
,result,table,_start,_stop,_time,_value,_field,_measurement,host
,,0,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,2024-01-01T00:00:10Z,15.43,used,mem,"a ""x"", b
c"
,,1,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,2024-01-01T00:00:20Z,NaN,used,mem,b

#group,false,false,false,false,true,true,false
#datatype,string,long,dateTime:RFC3339,long,string,unsignedLong,boolean
#default,_result,,,,,,
,result,table,_time,_value,_field,n,up
,,0,2024-01-01T00:00:30.5Z,-3,up,7,true
,,0,2024-01-01T00:00:30.5Z,,up,8,false
"""
SPAN = {"_start": "2024-01-01T00:00:00Z", "_stop": "2024-01-02T00:00:00Z"}
FIRST = 1704067210000000


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_annotated_csv(end: str) -> None:
    memory = {"result": "mean", "_field": "used", "_measurement": "mem", **SPAN}
    rows, rejects = in_any_pieces(lambda: taken(TABLES.replace("\n", end), "influx-csv"))
    assert rejects == []
    host = f'a "x", b{end}c'
    assert rows == [
        {
            "k": ",n=7",
            "t": FIRST + 20_500_000,
            "result": "_result",
            "table": 0,
            "_value": -3.0,
            "_field": "up",
            "n": 7,
            "up": True,
        },
        {"k": ",n=8", "t": FIRST + 20_500_000, "result": "_result", "table": 0, "_field": "up", "n": 8, "up": False},
        {"k": "mem,host=" + escaped(host), "t": FIRST, "table": 0, "_value": 15.43, "host": host, **memory},
        {"k": "mem,host=b", "t": FIRST + 10_000_000, "table": 1, "host": "b", **memory},
    ]


def test_annotated_csv_is_detected(lake: Lake) -> None:
    lake.text(TABLES.partition("\n\n")[0], key="host", time="_time", unit=None)
    assert [r["k"] for r in lake.rows()] == ['a "x", b\nc', "b"]


def test_rows_of_annotated_csv_that_do_not_fit() -> None:
    head = "#datatype,string,long,dateTime:RFC3339,double,boolean\n,result,table,_time,_value,b\n"
    lines = {
        ",,0,2024-01-01T00:00:00Z,1.5,true": None,
        ",,0,2024-01-01T00:00:00Z,x,true": "influx-csv: 'x' in the column _value is no double",
        ",,0,2024-01-01T00:00:00Z,1_0,true": "influx-csv: '1_0' in the column _value is no double",
        ",,0,2024-01-01T00:00:00Z,1.5,yes": "influx-csv: 'yes' in the column b is no boolean",
        ",,0.5,2024-01-01T00:00:00Z,1.5,true": "influx-csv: '0.5' in the column table is no long",
        ",,0,2024-01-01T00:00:00Z,1.5": "influx-csv: 5 values in a table of 6 columns",
        "#constant,a": "influx-csv: the annotation #constant is none of #group, #datatype, #default",
    }
    for line, reason in lines.items():
        text = f"{head},,0,2024-01-01T00:00:00Z,1.5,\n{line}\n"
        rows, rejects = taken(text, "influx-csv", key="result", missing_key="-")
        assert len(rows) == 1 + (reason is None)
        assert rejects == ([] if reason is None else [(4, 113, reason, line)])


def test_a_query_that_failed(lake: Lake) -> None:
    text = "#datatype,string,long\n#group,true,true\n#default,,\n,error,reference\n,Failed to parse query,897\n"
    with pytest.raises(IngestError, match="line 5, byte 67: influx-csv: the query failed: Failed to parse query"):
        lake.text(text, format="influx-csv", key=None, time=None, unit=None)


def test_a_quote_that_is_never_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ingest.records.text_lines.MAX_QUOTED", 200)
    head = "#datatype,string,dateTime:RFC3339\n,host,_time\n"
    good = ",b,2024-01-01T00:00:00Z\n"
    text = f'{head},"a,2024-01-01T00:00:00Z\n{good * 20}'
    rows, rejects = in_any_pieces(lambda: taken(text, "influx-csv"))
    assert len(rows) == 20
    assert rejects == [(3, 46, "influx-csv: a quote that is not closed, or text after it", ',"a,2024-01-01T00:00:00Z')]
