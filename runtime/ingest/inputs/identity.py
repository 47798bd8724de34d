"""What makes a source the same as another: its bytes, and what its name gives its rows; or what its owner calls it."""

from __future__ import annotations

import hashlib
import json

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.composed import is_of_name, key_value
from runtime.ingest.inputs.settings import Settings


def source_identity(catalogue: Catalogue, stream: str, digest: str, name: str, settings: Settings) -> str:
    """The id of the source ``name`` whose bytes have this SHA-256, as it is read with ``settings``.

    It is that SHA-256, unless the source's name gives its rows their key: equal bytes under two keys are two sources.
    Earlier versions left the name out: a source that they ingested with this key keeps the id that it has.
    """
    text = settings.reading.key_value
    if text is None or not is_of_name(text):
        return digest
    key = key_value(text, name)
    mine = _hashed(["content", digest, {"key": key}])
    if catalogue.is_ingested(stream, mine) is None:
        earlier = catalogue.is_ingested(stream, digest)
        if earlier is not None and key_value(earlier.options.get("key_value", text), earlier.name) == key:
            return digest
    return mine


def declared_identity(text: str) -> str:
    """The id of a source that its owner calls ``text`` (a position, an idempotency key), whatever its bytes are."""
    if not isinstance(text, str) or not text:
        raise IngestError("source: a text that is not empty was expected, which names the source (--source).")
    return _hashed(["source", text])


def _hashed(parts: list[object]) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
