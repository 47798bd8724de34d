"""Takes quoted values out of error messages, for they may be user data; the names needed to mend stay.

Messages quote values as ``repr`` writes them, whole or cut (``{x!r:.60}``). A cut one has no closing quote, so where it
ends cannot be told, but a quote of its own kind does not occur within its first ``SURE`` characters unescaped. So a
closing quote that near is the value's own; if there is none, the rest of the message goes, too.
"""

from __future__ import annotations

import re

SURE = 40
"""Characters that every cut value shows at least: no message may cut a quoted value shorter."""

GONE = "'...'"

_NOUNS = "aggregate|bucket|column|encoding|field|format|function|parameter|preset|query|queue|setting|stream|table|unit"
_NAMED = re.compile(rf"\b(?:{_NOUNS})s? \Z")
"""What stands before a name ..."""

_OF_OPTION = re.compile(r" \(--[a-z-]+\)| in s3://")
"""... or behind it: ``'t' (--time)``, ``'data/a' in s3://bucket``."""

_NAME = re.compile(r"'([\w./:@+-]{1,80})'(?!\w)")
_OPENS, _CLOSES = "[{(", {"[": "]", "{": "}", "(": ")"}
_SAID = re.compile(r"\(\w[\w'-]* \S")
"""Words in brackets, not a tuple or the arguments of a call."""


def redacted(message: str) -> str:
    """The message without its quoted values; from the first whose end is unsure, nothing is left."""
    out: list[str] = []
    at = begun = 0
    while at < len(message):
        char = message[at]
        if char in "'\"" and _is_opening(message, at):
            start = at - _prefix(message, at)
            named = _NAME.match(message, at) if start == at else None
            if named and not (_NAMED.search(message, begun, at) or _OF_OPTION.match(message, named.end())):
                named = None
            end = named.end() if named else _text_end(message, at)
            out += [message[begun:start], named[0] if named else GONE]
        elif char in _OPENS:
            end = _container_end(message, at)
            plain = end is not None and not {"'", '"'} & set(message[at:end])
            if plain or not _is_container(message, at):
                at += 1
                continue
            out += [message[begun:at], GONE]
        else:
            at += 1
            continue
        if end is None:
            return "".join(out)
        at = begun = end
    return "".join([*out, message[begun:]])


def _prefix(message: str, at: int) -> int:
    """1 if the quote at ``at`` opens ``b'...'``, else 0."""
    return int(at > 0 and message[at - 1] == "b" and (at == 1 or not message[at - 2].isalnum()))


def _is_opening(message: str, at: int) -> bool:
    """Whether a quote opens a value: an apostrophe stands after a letter or digit."""
    return message[at] == '"' or at == 0 or not message[at - 1].isalnum() or bool(_prefix(message, at))


def _text_end(message: str, at: int) -> int | None:
    """Where the quoted text that begins at ``at`` ends; None if that is unsure."""
    end = at + 1
    while end < min(len(message), at + SURE):
        if message[end] == "\\":
            end += 1
        elif message[end] == message[at]:
            return end + 1
        end += 1
    return None


def _is_container(message: str, at: int) -> bool:
    """Whether a bracket may begin a list, a table, a tuple or a call: not words in brackets."""
    called = at > 0 and message[at - 1].isalnum()
    return message[at] != "(" or called or not _SAID.match(message, at)


def _container_end(message: str, at: int) -> int | None:
    """Where the list, table or call that begins at ``at`` ends; None if that is unsure."""
    open_: list[str] = []
    end = at
    while end < min(len(message), at + SURE):
        char = message[end]
        if char in "'\"" and _is_opening(message, end):
            after = _text_end(message[: at + SURE], end)
            if after is None:
                return None
            end = after
            continue
        if char in _OPENS:
            open_.append(_CLOSES[char])
        elif open_ and char == open_[-1]:
            open_.pop()
            if not open_:
                return end + 1
        end += 1
    return None
