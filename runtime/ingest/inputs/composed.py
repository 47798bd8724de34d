"""Keys and times that a source has in several fields, or that come from a file's name."""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import PurePath

from runtime.errors import IngestError

_PACKED = (".gz", ".zst", ".bz2", ".xz")
ITS_REJECTS = " (its rejects)"
"""What is added to the name of a source whose rejected records are offered again."""

_PLACES = ("name", "stem", "parent")


@dataclass(frozen=True)
class Composed:
    """A column made of several fields of a record: their texts, joined, or of the ``first`` field that is there.

    ``text`` is how a person wrote it: ``site,device`` or ``userId|anonymousId``.
    """

    text: str
    fields: tuple[str, ...]
    first: bool

    @classmethod
    def of(cls, text: str, option: str) -> Composed | None:
        """What ``text`` means; None if it is the name of a single field."""
        mark = "|" if "|" in text and option == "--key" else "," if "," in text else None
        if mark is None:
            return None
        fields = tuple(part.strip() for part in text.split(mark))
        if not all(fields) or len(set(fields)) < len(fields):
            raise IngestError(f"{option} {text!r} must name different fields, separated by {mark!r}.")
        return cls(text, fields, mark == "|")

    def name(self, between: str) -> str:
        """The column's name."""
        return "|".join(self.fields) if self.first else between.join(self.fields)


def check_key_value(text: str) -> None:
    """IngestError if a text with places such as ``{stem}`` names an unknown one."""
    try:
        named = [name for _, name, _, _ in string.Formatter().parse(text) if name is not None]
    except ValueError as error:
        raise IngestError(f"key_value {text!r} is not well-formed ({error}).") from None
    for name in named:
        if name not in _PLACES:
            raise IngestError(
                f"key_value {text!r}: there is no {{{name}}}; there are {{name}}, {{stem}} and {{parent}}."
            )


def is_of_name(text: str) -> bool:
    """Whether a text with places such as ``{stem}`` has any: then a source's key depends on its file's name."""
    return any(name is not None for _, name, _, _ in string.Formatter().parse(text))


def key_value(text: str, source: str) -> str:
    """The key of all records of the source with this path: ``{name}`` is its file's name, ``{stem}`` the name without
    endings, ``{parent}`` the name of its folder."""
    path = PurePath(source.removesuffix(ITS_REJECTS))
    name = path.name
    for ending in _PACKED:
        name = name.removesuffix(ending)
    stem = PurePath(name).stem
    found = text.format(name=path.name, stem=stem, parent=path.parent.name)
    if not found:
        raise IngestError(f"{source}: key_value {text!r} gives it an empty key.")
    return found
