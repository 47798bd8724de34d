"""Seals: the checksum that every item of the catalogue carries over its place, its number and its body.

The seal is BLAKE2b with a digest of 8 bytes over the payload and (partition, sort, number, length). An item whose body,
key or number was damaged, and one that was put into the place of another, has a seal that does not fit. It protects
against damage, not against somebody who can write to the catalogue and makes seals.

JSON items have it as their last member, ``,"seal":"<16 hexadecimal digits>"}``, so that they stay JSON; rows of the day
index have it as their last 8 bytes.
"""

from __future__ import annotations

from hashlib import blake2b

from runtime.errors import FormatError

SIZE = 8
"""Bytes of a seal."""

_MEMBER = b',"seal":"'
_JSON = len(_MEMBER) + 2 * SIZE + 2


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
    """The payload of a sealed JSON item; FormatError, naming ``what``, unless its seal fits."""
    payload = body[:-_JSON] + b"}"
    if body != sealed_json(partition, sort, number, payload):
        raise damaged(what, "its checksum is wrong")
    return payload
