"""Numbers as people write them: decimal and thousands marks, brackets for minus, currency signs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from runtime.ingest.text.json_strict import MinusZero

_CODES = """
    IES AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF
    CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD
    HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD
    MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG
    QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD
    TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW ZWL
"""
CURRENCIES = frozenset(_CODES.split())
"""Codes of ISO 4217."""

_LONGEST = 25  # digits: longer ones are beyond 64 bits
_SIGNS = "$€£¥₹₽₩₺₫₴₪฿₦₱¢"
_MINUS = "-−"  # the sign on keyboards, and the one in print
_BLANKS = " \u00a0\u202f"  # also those that do not break a line
_ALIKE = {" ": _BLANKS, "'": "'’"}
"""Thousands marks that are written in several ways."""

_PLAIN = re.compile(r"[+-]?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WAYS = ((".", None), (",", None), (None, ","), (",", "."), (",", " "), (None, " "), (None, "'"))
"""Marks that a column may be written with, for hints; None is not declared."""


class Marks:
    """The declared marks; ``currencies`` are the signs and codes that were met, which numbers do not keep."""

    def __init__(self, decimal: str | None, thousands: str | None) -> None:
        if decimal is None:
            decimal = "," if thousands == "." else "."
        self.currencies: set[str] = set()
        self.keeps_point = decimal == "."
        """Whether a number with a point means what it means without declared marks."""
        self._thousands = _ALIKE.get(thousands or "", thousands or "")
        self._match = _pattern(decimal, self._thousands).fullmatch

    def number(self, text: str) -> int | float | None:
        """The number that the text is, an integer if it has no decimals; None if it is none."""
        plain = self.plain(text)
        if plain is None:
            return None
        if not plain.lstrip("-").isdigit():
            return float(plain)
        if len(plain.lstrip("-")) > _LONGEST:
            return None
        return MinusZero(0) if plain == "-0" else int(plain)

    def plain(self, text: str) -> str | None:
        """The number that the text is as plain digits, like ``-1234.56``; None if it is none."""
        found = self._match(text.strip(_BLANKS))
        if found is None:
            return None
        signs = [sign for sign in (found["minus"], found["inner"], found["last"], found["open"]) if sign]
        currencies = [c for c in (found["before"], found["after"]) if c]
        if len(signs) > 1 or len(currencies) > 1 or (found["open"] is None) != (found["close"] is None):
            return None
        if not all(c in _SIGNS or c in CURRENCIES for c in currencies):
            return None
        whole, fraction, power = found["whole"] or "0", found["fraction"] or found["only"], found["power"] or ""
        for mark in self._thousands:
            whole = whole.replace(mark, "")
        minus = "-" if signs and signs[0] != "+" else ""
        self.currencies.update(currencies)
        return minus + whole + (f".{fraction or 0}{power}" if fraction is not None or power else "")


@lru_cache(16)
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    d = re.escape(decimal)
    whole = "0|[1-9][0-9]*"
    if thousands:
        t = f"[{re.escape(thousands)}]"
        # Groups of three with the same mark throughout; or, as in India, of two before the last three.
        whole = f"[1-9][0-9]{{0,2}}(?P<mark>{t})[0-9]{{3}}(?:(?P=mark)[0-9]{{3}})*|{whole}"
        if thousands == ",":
            whole = f"[1-9][0-9]?,(?:[0-9]{{2}},)+[0-9]{{3}}|{whole}"
    blank, sign, currency = f"[{_BLANKS}]?", f"[+{re.escape(_MINUS)}]", f"[{_SIGNS}]|[A-Z]{{3}}"
    return re.compile(
        f"(?P<open>\\()?(?:(?P<minus>{sign}){blank})?(?:(?P<before>{currency}){blank})?(?P<inner>{sign})?"
        f"(?:(?P<whole>{whole})(?:{d}(?P<fraction>[0-9]+))?|{d}(?P<only>[0-9]+))(?P<power>[eE][+-]?[0-9]+)?"
        f"(?P<last>{sign})?(?:{blank}(?P<after>{currency}))?(?P<close>\\))?"
    )


def marks_of(texts: Sequence[str]) -> str | None:
    """The options with which all of these texts are numbers; None if they are without options, or never."""
    if not texts or all(_PLAIN.fullmatch(text) for text in texts):
        return None
    found: dict[tuple[int | float, ...], str] = {}
    for decimal, thousands in _WAYS:
        marks = Marks(decimal, thousands)
        numbers = tuple(n for text in texts if (n := marks.number(text)) is not None)
        if len(numbers) == len(texts):
            pairs = (("--decimal", decimal), ("--thousands", thousands))
            found.setdefault(numbers, " ".join(f"{option} {mark!r}" for option, mark in pairs if mark))
    return " or ".join(found.values()) or None  # 1,234 may be either
