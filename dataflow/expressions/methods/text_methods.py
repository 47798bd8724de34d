"""Methods of texts."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.functions import CASTS
from dataflow.expressions.methods.method_base import Methods
from dataflow.expressions.text_patterns import pattern_of
from dataflow.expressions.whole_options import whole_option
from dataflow.times.zones import check_zone
from dataflow.values.mistaken import shown, text_of
from operators.errors import DataflowError


class TextMethods(Methods):
    """Functions of texts. Each is worked out once per word, however many rows have it. Positions count from 0."""

    def starts_with(self, prefix: str) -> Self:
        """Whether a text starts with ``prefix``."""
        return self._of("starts_with", prefix=text_of(prefix, "starts_with"))

    def ends_with(self, suffix: str) -> Self:
        """Whether a text ends with ``suffix``."""
        return self._of("ends_with", suffix=text_of(suffix, "ends_with"))

    def contains(self, text: str) -> Self:
        """Whether a text contains ``text``, taken literally."""
        return self._of("contains", text=text_of(text, "contains"))

    def like(self, pattern: str) -> Self:
        """Whether a whole text fits the pattern, as SQL's LIKE: ``%`` stands for any text, ``_`` for one character; a
        backslash takes the next character as it is."""
        return self._of("like", pattern=text_of(pattern, "like"))

    def extract(self, pattern: str) -> Self:
        """What the first place that fits a regular expression has: its group in parentheses, or all of it without one;
        null if no place fits, or the group is in no part that does.

        Patterns are those of RE2 (https://github.com/google/re2/wiki/Syntax), with at most one group; write ``(?:...)``
        for others. The time grows with the length of the text only.
        """
        return self._of("extract", pattern=pattern_of(pattern))

    def lower(self) -> Self:
        """The text in lower case, letter by letter (a final sigma is one like any other)."""
        return self._of("lower")

    def upper(self) -> Self:
        """The text in upper case."""
        return self._of("upper")

    def strip(self) -> Self:
        """The text without blanks, tabs and line ends at both ends."""
        return self._of("strip")

    def length(self) -> Self:
        """The number of characters (Unicode code points)."""
        return self._of("length")

    def hash(self) -> Self:
        """A number for a text or an integer, from all numbers of 64 bits, equal on every machine and in every version:
        ``df.col("user").hash() % 100 < 10`` is a sample of a tenth of the users.

        It is the hash that orders keys (FNV-1a over ``antfold1`` and the text's UTF-8, or the integer's eight
        little-endian bytes, then murmur3's ``fmix64``), as a signed integer. It keeps no secrets.
        """
        return self._of("hash")

    def substring(self, start: int, count: int | None = None) -> Self:
        """The part from the character at ``start`` on, at most ``count`` characters; empty beyond the end."""
        begin = whole_option("substring", "start", start)
        if count is None:
            return self._of("substring", start=begin)
        return self._of("substring", count=whole_option("substring", "count", count), start=begin)

    def split(self, separator: str, index: int) -> Self:
        """The piece with this index of the text cut at each ``separator``, from 0, or from -1 for the last one; null if
        there are not so many."""
        if not text_of(separator, "split"):
            raise DataflowError("split takes a separator of at least one character")
        return self._of("split", index=whole_option("split", "index", index), separator=separator)

    def replace(self, old: str, new: str) -> Self:
        """The text with ``new`` instead of each ``old``, taken literally."""
        if not text_of(old, "replace"):
            raise DataflowError("replace takes a text of at least one character to replace")
        return self._of("replace", new=text_of(new, "replace"), old=old)

    def number(self, decimal: str = ".", thousands: str = "") -> Self:
        """The number that is written in a text, as float64, null if it is none: ``"1.234,56"`` with ``decimal=","`` and
        ``thousands="."``. Groups of ``thousands`` have three digits, or there are none."""
        for name, sign in (("decimal", decimal), ("thousands", thousands)):
            given = isinstance(sign, str) and len(text_of(sign, f"number({name})")) <= 1
            if not given or sign.isalnum() or sign in ("+", "-"):
                raise DataflowError(f"number: {name} is one sign, not a digit or letter, got {shown(sign)}")
        if not decimal or decimal == thousands:
            raise DataflowError("number: decimal is a sign, and another one than thousands")
        return self._of("number", decimal=decimal, thousands=thousands)

    def parse_time(self, format: str, zone: str = "UTC") -> Self:
        """The time that is written in a text in this form of ``strptime``, like ``"%d.%m.%Y %H:%M"``, by the clock of
        ``zone`` if the text names no offset; null if it is no such time, or one that the clock left out."""
        check_zone(text_of(zone, "parse_time(zone)"), "parse_time")
        return self._of("parse_time", format=text_of(format, "parse_time"), zone=zone)

    def cast(self, type: str) -> Self:
        """The value as ``"int64"``, ``"float64"``, ``"bool"`` or ``"time"``; a value without an exact counterpart is an
        error. Texts are read: integers, numbers with a point, ``true`` and ``false``, times in ISO 8601."""
        return self._of("cast", type=_type(type, "cast"))

    def try_cast(self, type: str) -> Self:
        """The same, but null where there is no exact counterpart."""
        return self._of("try_cast", type=_type(type, "try_cast"))


def _type(name: str, where: str) -> str:
    if not isinstance(name, str) or name not in CASTS:
        hint = "; write decimal(places)" if isinstance(name, str) and name.startswith("decimal") else ""
        if name in ("string", "str", "text", "varchar"):
            hint = "; numbers do not become texts: group_by takes several columns, of any types"
        raise DataflowError(f"{where} takes a type, one of {', '.join(CASTS)}, got {shown(name)}{hint}")
    return str(name)
