"""Partial states as bytes: an exact round trip, or a clear error."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import pytest

from operators.states.groups import GroupState
from runtime.errors import FormatError
from runtime.query.task import state_bytes
from runtime.query.task.coverage import WHOLE, Coverage
from runtime.query.task.partial import Partial

STATES = [{"n": np.arange(3)}, {"s": np.ones((3, 4))}]
PARTIAL = Partial(
    "0.0",
    GroupState(np.zeros((3, 2), np.int64), STATES, ["a", "b"]),
    None,
    Coverage({"f": 3}, 1, 2, cells={"f": WHOLE}),
    ("k",),
)
BODY = state_bytes.pack(PARTIAL)[40:]


def resealed(body: bytes) -> bytes:
    """With a checksum that is right, as one who means harm would make it."""
    return state_bytes.pack(PARTIAL)[:8] + hashlib.sha256(body).digest() + body


def test_there_and_back() -> None:
    again = state_bytes.unpack(state_bytes.pack(PARTIAL), "0.0")
    assert state_bytes.pack(again) == state_bytes.pack(PARTIAL)
    assert (again.coverage, again.kernels) == (PARTIAL.coverage, PARTIAL.kernels)
    with pytest.raises(FormatError, match=r"the reply of task 0\.1 belongs to another task"):
        state_bytes.unpack(state_bytes.pack(PARTIAL), "0.1")


def test_any_damage_is_seen() -> None:
    whole = state_bytes.pack(PARTIAL)
    for at in range(0, len(whole), 7):
        with pytest.raises(FormatError, match="is damaged or truncated"):
            state_bytes.unpack(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], "0.0")
        with pytest.raises(FormatError, match="is damaged or truncated"):
            state_bytes.unpack(whole[:at], "0.0")


def test_hostile_states_raise_nothing_else() -> None:
    """Zip files and arrays that are none have a dozen ways of saying so."""
    refused = 0
    for seed in range(3_000):
        dice, body = random.Random(seed), bytearray(BODY)
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        if dice.random() < 0.2:
            del body[dice.randrange(len(body)) :]
        try:
            state_bytes.unpack(resealed(bytes(body)), "0.0")
        except FormatError:
            refused += 1
    assert refused > 1_000


@pytest.mark.parametrize("head", [b"[]", b"null", b"[" * 100_000, b'{"task":"0.0"}', b"1" + b"0" * 5_000])
def test_heads_that_are_none(head: bytes) -> None:
    size = int.from_bytes(BODY[:8], "little")
    with pytest.raises(FormatError, match=r"the reply of task 0\.0"):
        state_bytes.unpack(resealed(len(head).to_bytes(8, "little") + head + BODY[8 + size :]), "0.0")
