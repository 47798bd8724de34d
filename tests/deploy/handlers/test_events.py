"""Messages and settings: written and read back; errors name the mistake."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.handlers import environment
from deploy.handlers.environment import EnvironmentFault, Landing
from deploy.handlers.events import Landed, landed, message
from runtime.errors import FormatError

KEYS = st.text(min_size=1).filter(lambda key: max(key) < "\ud800" or max(key) > "\udfff")


@given(st.text("abc-.", min_size=3), KEYS, st.none() | st.integers(0, 1 << 50), st.text("0123456789abcdef-"))
def test_a_message_is_read_as_it_was_written(bucket: str, key: str, size: int | None, etag: str) -> None:
    found = Landed(bucket, key, size, etag)
    assert landed(message(found)) == (found,)


def test_identity() -> None:
    one = Landed("b", "k", 1, "e")
    assert one.identity == Landed("b", "k", None, "e", "version").identity
    others = [Landed("c", "k", 1, "e"), Landed("b", "l", 1, "e"), Landed("b", "k", 1, "f"), Landed("b", "ke", 1, "")]
    assert len({o.identity for o in [one, *others]}) == 5
    assert Landed("a", 'b","c', 1, "d").identity != Landed('a","b', "c", 1, "d").identity


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda c: st.lists(c) | st.dictionaries(
    st.sampled_from(["Records", "s3", "object", "bucket", "name", "key", "size", "eventName", "detail", "source"]), c,
)))  # fmt: skip
def test_anything_else_is_an_error_or_nothing(value: object) -> None:
    with contextlib.suppress(FormatError):
        assert landed(json.dumps(value)) == ()


def test_where_objects_land(monkeypatch: pytest.MonkeyPatch) -> None:
    for url, key in (("s3://b/in/x/", "in/x/s/2024/a"), ("s3://b", "s/2024/a"), ("s3://b/", "s/a")):
        monkeypatch.setenv("ANTFOLD_LANDING", url)
        landing = Landing.here()
        assert landing.stream_of("b", key) == "s"
        assert key.startswith(landing.below("s"))
        for other in ("s", "/s/a", "in/x", "in/y/s/a" if "in" in url else "/a", key.rpartition("/")[0][:1]):
            assert landing.stream_of("b", other) in (None, "in"), other
        assert landing.stream_of("c", key) is None
    for url in ("b/in", "s3://", "s3:///in"):
        monkeypatch.setenv("ANTFOLD_LANDING", url)
        with pytest.raises(EnvironmentFault, match="must be s3://bucket/prefix"):
            Landing.here()


def test_settings_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTFOLD_STREAMS", '{"s": {"key": "k", "time": "t", "unit": "", "id": null, "format": "csv"}}')
    assert environment.streams() == {"s": {"key": "k", "time": "t", "format": "csv"}}
    for text, what in (
        ("{", "is not JSON"),
        ("[]", "must be an object"),
        ('{"s": 1}', "must be an object"),
        ('{"s": {"key": "k"}}', "needs key and time"),
        ('{"s": {"key": "k", "time": "t", "zone": "x"}}', "stream 's' has key, time, zone"),
    ):
        monkeypatch.setenv("ANTFOLD_STREAMS", text)
        with pytest.raises(EnvironmentFault, match=what):
            environment.streams()
    monkeypatch.delenv("ANTFOLD_STREAMS")
    with pytest.raises(EnvironmentFault, match="ANTFOLD_STREAMS is not set"):
        environment.streams()
