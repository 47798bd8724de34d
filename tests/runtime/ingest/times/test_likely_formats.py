"""Which formats a text may be in, and that it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.ingest.times.likely_formats import is_written_as, likely_formats


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("23-Feb-2022 06:34:27.403", "%d-%b-%Y %H:%M:%S.%f"),
        ("Sun Dec  4 04:47:44 2005", "%a %b  %d %H:%M:%S %Y"),
        ("Mon, 02 Jan 2006 15:04:05 GMT", "%a, %d %b %Y %H:%M:%S %z"),
        ("February 3, 2021", "%B %d, %Y"),
        ("8/31/2009 11:40 PM", "%m/%d/%Y %I:%M %p"),
        ("1/2/2009", "%d/%m/%Y|%m/%d/%Y"),
        ("17/06/09 5:06", "%d/%m/%y %H:%M|%y/%m/%d %H:%M"),
        ("31/Dec/2024:13:05:01 +0100", "%d/%b/%Y:%H:%M:%S %z"),
        ("20171223-22:15:29:606", "%Y%m%d-%H:%M:%S:%f"),
        ("20180101:0010", "%Y%m%d:%H%M"),
        ("20240102 130501", "%Y%m%d %H%M%S"),
        ("2005.06.03", "%Y.%m.%d"),
        *(
            (text, "")
            for text in ("soon", "", "5", "2024", "12.5", "31/31/2024", "%d/%m/2024", "1 2 3 4", "2024-02-30")
        ),
    ],
)
def test_forms(text: str, forms: str) -> None:
    assert "|".join(likely_formats(text)) == forms


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2060, 1, 1)),
    st.sampled_from(["%d.%m.%Y %H:%M", "%b %d, %Y %I:%M:%S %p", "%A, %d %B %Y", "%Y%m%d%H%M%S", "%m-%d-%y %H:%M:%S"]),
)
def test_one_of_them_is_right(time: datetime, form: str) -> None:
    text = time.replace(tzinfo=UTC).strftime(form)
    assert form in likely_formats(text) or (time.month == 5 and form.replace("%B", "%b") in likely_formats(text))
    assert all(is_written_as(text, found) for found in likely_formats(text))


@given(st.text(max_size=80))
def test_any_text_has_only_forms_that_fit(text: str) -> None:
    assert all(is_written_as(text, found) for found in likely_formats(text))
