"""Seals: each catalogue item's checksum over its key, number and body.

The seal is BLAKE2b with a digest of 8 bytes over the payload and (partition, sort, number, length). It detects a
damaged body, key or number, and an item in another's place. It protects against damage, not against forgery by a
process that can write to the catalogue.

It is the last member of a JSON item, ``,"seal":"<16 hexadecimal digits>"}``, which stays valid JSON, and the last 8
bytes of a row of the day index.
"""

from __future__ import annotations

from hashlib import blake2b

from runtime.errors import FormatError

SIZE = 8
"""Bytes of a seal."""

_MEMBER = b',"seal":"'
_JSON = len(_MEMBER) + 2 * SIZE + 2
JSON_SIZE = _JSON - 1
"""Bytes that a seal adds to a JSON item."""


def damaged(what: str, why: str) -> FormatError:
    """The error for an item that cannot be what the catalogue wrote."""
    return FormatError(f"the catalogue's {what} is damaged ({why}): run `dataflow recover` on the store.")


def seal_of(partition: str, sort: str, number: int, payload: bytes) -> bytes:
    """The seal of an item."""
    place = f"\0{partition}\0{sort}\0{number}\0{len(payload)}".encode()
    return blake2b(payload + place, digest_size=SIZE).digest()


def sealed_json(partition: str, sort: str, number: int, payload: bytes) -> bytes:
    """The body of an item whose payload is a JSON object with at least one member."""
    return payload[:-1] + _MEMBER + seal_of(partition, sort, number, payload).hex().encode() + b'"}'


def is_sealed(body: bytes) -> bool:
    """Whether a JSON item carries a seal, right or wrong."""
    return body[-_JSON : len(_MEMBER) - _JSON] == _MEMBER


def open_json(partition: str, sort: str, number: int, body: bytes, what: str) -> bytes:
    """The payload of a sealed JSON item; FormatError, naming ``what``, if its seal is wrong."""
    payload = body[:-_JSON] + b"}"
    if body != sealed_json(partition, sort, number, payload):
        raise damaged(what, "its checksum is wrong")
    return payload
