"""Topics of mosquitto behind TLS: the broker's certificate and that of who watches, and what is said of wrong ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.errors import IngestError
from tests.stack import servers
from tests.stack.certificates import Authority, Certificate

pytestmark = [
    pytest.mark.stack,
    # paho-mqtt leaves the socket of a handshake that failed to the collector.
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]

HOST = "127.0.0.1"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@contextmanager
def broker(folder: Path, authority: Authority, host: str = HOST, days: int = 1) -> Iterator[int]:
    """A broker with a certificate of the authority, which asks for one of it; its port."""
    own, (port,) = authority.certificate("broker", host, days), servers.free_ports(1)
    settings = [
        f"cafile {authority.file}", f"certfile {own.certificate}", f"keyfile {own.key}", "require_certificate true",
    ]  # fmt: skip
    (folder / "mosquitto").mkdir()
    with servers.mosquitto(folder / "mosquitto", port, settings=settings):
        yield port


def connection(authority: Authority, client: Certificate | None) -> dict[str, str]:
    files = {"ca_certs": str(authority.file)}
    if client is not None:
        files |= {"certfile": str(client.certificate), "keyfile": str(client.key)}
    return files


def watched(folder: Path, port: int, settings: dict[str, str], scheme: str = "mqtts") -> int:
    """The rows of a watch."""
    options: dict[str, Any] = {"key": "k", "time": "t", "unit": "s", "every": "100ms", "until_idle": "500ms"}
    with Store(folder / "store", create=True) as store:
        return store.watch("s", f"{scheme}://{HOST}:{port}/site/+k", connection=settings, **options).rows


def refused(folder: Path, port: int, settings: dict[str, str], scheme: str = "mqtts") -> str:
    """What the watch says, which ends at once."""
    with pytest.raises(IngestError) as raised:
        watched(folder, port, settings, scheme)
    said = str(raised.value)
    assert "\n" not in said
    return said


def test_certificates_of_both(tmp_path: Path, authority: Authority) -> None:
    mqtt = pytest.importorskip("paho.mqtt.publish")
    settings = connection(authority, authority.certificate("client"))
    with broker(tmp_path, authority) as port:
        assert watched(tmp_path, port, settings) == 0
        mqtt.single("site/a", b'{"t": 1}', qos=1, hostname=HOST, port=port, tls=settings)
        assert watched(tmp_path, port, settings) == 1


@pytest.mark.parametrize(
    ("host", "days", "said"),
    [
        ("elsewhere.example", 1, "IP address mismatch"),
        (HOST, -1, "certificate has expired"),
    ],
    ids=["of another host", "expired"],
)
def test_wrong_certificates_of_the_broker(
    tmp_path: Path, authority: Authority, host: str, days: int, said: str
) -> None:
    settings = connection(authority, authority.certificate("client"))
    with broker(tmp_path, authority, host, days) as port:
        found = refused(tmp_path, port, settings)
    assert found.startswith(f"{HOST}:{port}: the broker's certificate is not accepted: {said}")


def test_another_authority(tmp_path: Path, authority: Authority) -> None:
    other = Authority(tmp_path, "other")
    with broker(tmp_path, authority) as port:
        said = refused(tmp_path, port, connection(other, authority.certificate("client")))
        assert f"{HOST}:{port}: the broker's certificate is not accepted: self-signed certificate" in said
        # What the broker does not accept, it does not say.
        for client in (other.certificate("stranger"), None):
            said = refused(tmp_path, port, connection(authority, client))
            assert f"{HOST}:{port} ended the connection without an answer: it may ask for a certificate" in said
        said = refused(tmp_path, port, {}, "mqtt")
        assert f"{HOST}:{port} ended the connection without an answer: it may ask for TLS (mqtts://)" in said


def test_files_that_are_none(tmp_path: Path, authority: Authority) -> None:
    client, missing = authority.certificate("client"), str(tmp_path / "missing.pem")
    assert f"ca_certs {missing} is no file" in refused(tmp_path, 1, {"ca_certs": missing})
    other = Certificate(client.certificate, authority.certificate("other").key)
    assert "KEY_VALUES_MISMATCH" in refused(tmp_path, 1, connection(authority, other))
