"""Signatures of published queries and kernels, by a key that never leaves AWS KMS."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from functools import lru_cache
from typing import Protocol

from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault

KEY_VARIABLE = "ANTFOLD_MAC_KEY"
"""The id, ARN or alias of the deployment's KMS key (HMAC_256). A worker with this variable refuses unsigned queries and
kernels."""

_ALGORITHM = "HMAC_SHA_256"


class Signer(Protocol):
    """Makes and checks message authentication codes; raises StoreError where the service fails."""

    @property
    def key(self) -> str:
        """The key's name, by which others with permission can sign, too."""
        ...

    def sign(self, data: bytes) -> str:
        """The code of ``data``, as text."""
        ...

    def verify(self, data: bytes, mac: str) -> bool:
        """Whether ``mac`` is the code of ``data``."""
        ...


class KmsSigner:
    """HMAC-SHA-256 over the SHA-256 of the data, because KMS accepts at most 4,096 bytes.

    Signing needs ``kms:GenerateMac`` on the key, checking needs ``kms:VerifyMac``.
    """

    def __init__(self, key: str, access: Access | None = None) -> None:
        self.key = key
        self._client = Client("kms", access or Access())

    def sign(self, data: bytes) -> str:
        """The code of ``data``, as base64."""
        message = hashlib.sha256(data).digest()
        reply = self._client.call(
            f"sign with the key {self.key}",
            lambda c: c.generate_mac(KeyId=self.key, Message=message, MacAlgorithm=_ALGORITHM),
        )
        return base64.b64encode(reply["Mac"]).decode()

    def verify(self, data: bytes, mac: str) -> bool:
        """Whether ``mac`` is the code of ``data`` by this key."""
        message = hashlib.sha256(data).digest()
        try:
            code = base64.b64decode(mac, validate=True)
        except (binascii.Error, ValueError):
            return False
        if len(code) != 32:
            return False
        try:
            reply = self._client.call(
                f"check a signature with the key {self.key}",
                lambda c: c.verify_mac(KeyId=self.key, Message=message, MacAlgorithm=_ALGORITHM, Mac=code),
            )
        except ServiceFault as error:
            if error.code == "KMSInvalidMacException":
                return False
            raise
        return bool(reply["MacValid"])


def signer_of_environment(access: Access | None = None) -> Signer | None:
    """The signer with the key that ``ANTFOLD_MAC_KEY`` names; None if there is none."""
    key = os.environ.get(KEY_VARIABLE)
    return _kms(key, access or Access()) if key else None


@lru_cache(maxsize=8)
def _kms(key: str, access: Access) -> KmsSigner:
    return KmsSigner(key, access)
