"""Which fields of a source may be its key and its time, by their values and names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from shlex import quote

from runtime.ingest.preview.seen_fields import SeenField
from runtime.ingest.text.json_strict import name_fault
from runtime.ingest.times.likely_formats import is_written_as, likely_formats

_SHARE = 0.9
"""The share of a field's values that must look like times."""

_MEASURED = 3
"""Words in the name of a number that may be a key; longer names describe what is measured."""

_FILLED = 0.95
"""The share of records that a field must be in to be proposed as key before fields that are in all."""

_SECONDS = (94_694_400, 4_000_000_000)
"""Seconds since 1970 that look like a time: the years 1973 to 2096."""

_UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PLAIN = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?")
_YEAR = re.compile("(19|20)[0-9]{2}")
_DATE_DIGITS = re.compile(r"[0-9]{8}([0-9]{6})?")
_DATE = re.compile(r"\s*[0-9]{1,4}[-/.][0-9A-Za-z]{1,3}[-/.][0-9]{1,4}")
_PARTS = (
    ("year", "%Y", 1900, 2261), ("month", "%m", 1, 12), ("day", "%d", 1, 31), ("hour", "%H", 0, 24),
    ("minute", "%M", 0, 59), ("second", "%S", 0, 60),
)  # fmt: skip
_TRIED = 10
_DIGIT = re.compile("[0-9]")
_CERTAIN = re.compile(".*%[bB]|[^%]*(%[aA][^%]*)?%Y")
_CLOCK = re.compile(r"[0-9]{1,2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?( ?[AaPp][Mm])?")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")

_TIME_NAMES = {"time", "timestamp", "ts", "datetime", "date", "event_time", "eventtime"}
_TIME_WORDS = {*_TIME_NAMES, "at", "when", "day", "created", "occurred", "start", "started", "reported", "utc", "epoch"}
_LATER = {
    "end", "ended", "updated", "modified", "expires", "expiry", "deleted", "birth", "until", "dropoff", "stop",
    "stopped", "finished", "completed", "closed", "shipped", "delivered", "due",
}  # fmt: skip
_KEY_WORDS = {
    "device", "sensor", "id", "key", "user", "account", "host", "hostname", "machine", "station", "vehicle", "truck",
    "customer", "symbol", "ticker", "meter", "node", "pod", "instance", "client", "asset", "entity", "tag", "site",
    "uuid", "serial", "imei", "mac", "probe", "robot", "plant", "turbine", "name",
}  # fmt: skip

_MANY = 20
"""Values that all differ: so many identify rows, not devices."""

_VALUES, _LEVELS = 5, 3
"""So many values of an object, found on so many levels, may be records."""

AreTimes = Callable[[str, list[str]], Sequence[bool]]
"""Which of the texts of the field with this name are times."""


@dataclass(frozen=True)
class TimeCandidate:
    """A field that may be the time; ``unit`` if it holds numbers, ``form`` if it is not ISO-8601. ``sure``: its values
    look like times."""

    name: str
    unit: str | None
    score: float
    sure: bool = True
    form: str | None = None


def time_candidates(fields: Sequence[SeenField], rows: int, are_times: AreTimes) -> list[TimeCandidate]:
    """The fields that may be the time, the likeliest first. If no field's values look like times, those are there that
    have such a name, or texts that look like dates."""
    usable = [field for field in fields if field.values and "," not in field.name and not name_fault(field.name)]
    found = [c for field in usable if (c := _time(field, rows, are_times)) is not None]
    found += _in_parts(usable)
    found += _in_two(usable, are_times)
    if not any(candidate.sure for candidate in found):
        found += [TimeCandidate(f.name, None, _dated(f), sure=False) for f in usable if _dated(f)]
    return sorted(found, key=lambda candidate: -candidate.score)


def key_candidates(fields: Sequence[SeenField], rows: int, times: Sequence[str]) -> list[str]:
    """The fields that may be the key, the likeliest first; none of ``times``, or their parts, is among them."""
    taken = {*times, *(part for time in times for part in time.split(","))}
    scores: dict[str, float] = {}
    sparse: set[str] = set()
    unlikely: list[str] = []
    for field in fields:
        usable = field.type in ("string", "int64") and field.values and not {*",|"} & {*field.name}
        if not usable or field.name in taken or name_fault(field.name) or _is_json(field) or _is_clock(field):
            continue
        named = _named(field.name, _KEY_WORDS)
        numbers = field.type == "int64" or _share(field, lambda text: _NUMBER.fullmatch(text) is not None) > 0.5
        if numbers and not (named and len(_WORD.findall(field.name)) <= _MEASURED):
            continue
        if not named and _time_name(field.name):
            continue
        distinct = len(field.texts)
        is_unique = distinct == field.values
        share = field.values / max(rows, 1)
        if share < 0.5:
            continue
        if is_unique and not named and field.values > 1:
            unlikely.append(field.name)
            continue
        if is_unique and field.values >= _MANY:
            scores[field.name] = 0.1 * share  # of a key for each row there is nothing to ask over time
            continue
        repeats = 0.0 if is_unique else 1.0 if distinct > 1 else 0.3
        if field.values < _FILLED * rows:
            sparse.add(field.name)
        scores[field.name] = (0.5 + 1.5 * named + repeats) * share**3 - _depth(field.name)
    return sorted(scores, key=lambda name: (name in sparse, -scores[name])) or unlikely


def unit_of(field: SeenField) -> str | None:
    """The unit in which a field's numbers are times between 1973 and 2096; None if they are not."""
    for unit, factor in _UNITS.items():
        low, high = (bound * factor for bound in _SECONDS)

        def is_epoch(text: str, low: int = low, high: int = high) -> bool:
            return _NUMBER.fullmatch(text) is not None and low <= float(text) < high

        if _share(field, is_epoch) >= _SHARE:
            return unit
    return None


def names_like_values(fields: Sequence[SeenField]) -> list[str]:
    """Names that are numbers, but no years, above numbers: they may be values of a row."""
    return [
        field.name
        for field in fields
        if field.type in ("int64", "float64") and _NUMBER.fullmatch(field.name) and not _YEAR.fullmatch(field.name)
    ]


def numbers_as_text(fields: Sequence[SeenField]) -> list[str]:
    """Fields of text in which all values are numbers, and written as numbers are."""
    return [
        field.name
        for field in fields
        if field.type == "string" and len(field.texts) > 1 and not _named(field.name, _KEY_WORDS)
        and all(_PLAIN.fullmatch(text) for text in field.texts)
    ]  # fmt: skip


def record_options(fields: Sequence[SeenField], rows: int) -> Iterator[str]:
    """Options that read arrays within a document as its records: ``--records PATH``, ``--columnar PATH``. Arrays that
    most records do not have are none of them.
    """
    arrays: dict[str, list[str]] = {}
    for field in (f for f in fields if f.values > rows // 2):
        if field.texts and all(text.startswith("[{") for text in field.texts):
            yield f"--records {field.name}"
        elif field.texts and all(text.startswith("[") for text in field.texts):
            path, _, name = field.name.rpartition(".")
            arrays.setdefault(path, []).append(name)
    yield from (f"--records {quote(path)}" for path in _alike(fields))
    for path, names in arrays.items():
        if len(names) > 1 and any(_named(name, _TIME_WORDS) for name in names):
            yield f"--columnar {path or '.'}"


def _alike(fields: Sequence[SeenField]) -> Iterator[str]:
    """Paths of objects in a single document whose values, many of them, have the same fields."""
    if any(field.values > 1 for field in fields):
        return
    found: dict[str, dict[str, set[str]]] = {}
    for field in fields:
        parts = field.name.split(".")
        for at in range(min(len(parts) - 1, _LEVELS)):
            below = found.setdefault("".join(f"{part}." for part in parts[:at]), {}).setdefault(parts[at], set())
            below.add(parts[at + 1])
    for path, values in found.items():
        usual, times = Counter(name for names in values.values() for name in names).most_common(2)[-1]
        if len(values) >= _VALUES and usual and times >= _SHARE * len(values):
            yield f"{path}*"


def _time(field: SeenField, rows: int, are_times: AreTimes) -> TimeCandidate | None:
    if field.type in ("bool", "null") or _is_json(field):
        return None
    named = _time_name(field.name)
    unit, base = None, 1.0
    if field.type != "time":
        numbers = _share(field, lambda text: _NUMBER.fullmatch(text) is not None)
        unit = unit_of(field)
        if unit is not None:
            if not named and _named(field.name, _KEY_WORDS):
                return None
            base = 1.0 if named else 0.3
        elif numbers >= 0.5 and not (named and _share(field, lambda t: _DATE_DIGITS.fullmatch(t) is not None) > 0.5):
            return None
        else:
            texts = list(field.texts)
            good = dict(zip(texts, are_times(field.name, texts), strict=True))
            read = _share(field, lambda text: bool(good[text]))
            if read < _SHARE:
                return None
            base -= 2 * (1 - read)
    score = (base + 0.5 * len(field.texts) / field.values) * field.values / max(rows, 1)
    return TimeCandidate(field.name, unit, score + named - _depth(field.name))


def _in_two(fields: Sequence[SeenField], are_times: AreTimes) -> Iterator[TimeCandidate]:
    """A date and a clock time that are fields of their own."""
    clock = next((field for field in fields if _is_clock(field)), None)
    date = None if clock is None else next((field for field in fields if _is_date(field)), None)
    if clock is not None and date is not None:
        name = f"{date.name},{clock.name}"
        texts = [f"{day} {time}" for day, time in zip(date.texts, cycle(clock.texts), strict=False)]
        sure = sum(are_times(name, texts)) >= _SHARE * len(texts)
        form = None if sure else written_form(SeenField(name, "string", len(texts), dict.fromkeys(texts, 1)))
        yield TimeCandidate(name, None, 4.0, sure, form)


def _is_clock(field: SeenField) -> bool:
    return _share(field, lambda text: _CLOCK.fullmatch(text) is not None) >= _SHARE


def _is_date(field: SeenField) -> bool:
    if _share(field, lambda text: _DATE.fullmatch(text) is not None) >= _SHARE:
        return True
    forms = [likely_formats(text) for text in list(field.texts)[:_TRIED]]
    return all(found and "%M" not in found[0] for found in forms)


def _in_parts(fields: Sequence[SeenField]) -> Iterator[TimeCandidate]:
    """Year, month, day and the parts of a clock time, each a field of whole numbers."""
    names, forms = [], []
    for called, form, low, high in _PARTS:
        field = next((f for f in fields if f.name.lower() == called and f.type == "int64"), None)
        if field is None or not all(text.isdigit() and low <= int(text) <= high for text in field.texts):
            break
        names.append(field.name)
        forms.append(form)
    if len(names) >= 3:
        yield TimeCandidate(",".join(names), None, 1.9, form=" ".join(forms))


def written_form(field: SeenField) -> str | None:
    """The one format in which a field's values are times, if the order of day, month and year is certain whatever the
    values are: dates with the year last are never guessed."""
    texts = list(field.texts)
    forms = {form for text in texts[:_TRIED] for form in likely_formats(text)}
    good = [form for form in forms if _share(field, partial(is_written_as, form=form)) >= _SHARE]
    return good[0] if len(good) == 1 and _CERTAIN.match(good[0]) else None


def _dated(field: SeenField) -> float:
    """How much a field seems to be a time, although its values cannot be read as one."""
    texts = list(field.texts)[:_TRIED]
    dates = sum(bool(likely_formats(text)) or _DATE.match(text) is not None for text in texts) >= 0.5 * len(texts)
    if _is_json(field) or field.type == "bool" or not any(map(_DIGIT.search, texts)):
        return 0.0
    return dates + max(0.0, _time_name(field.name) - _depth(field.name))


def _time_name(name: str) -> float:
    last = name.rpartition(".")[2]
    words = {word.lower() for word in _WORD.findall(last)}
    if last.lower() in (*_TIME_NAMES, "t"):
        return 2.0
    return max(0.0, 1.0 * bool(words & _TIME_WORDS) - 0.5 * bool(words & _LATER))


def _named(name: str, words: set[str]) -> bool:
    return any(word.lower() in words for word in _WORD.findall(name.rpartition(".")[2]))


def _depth(name: str) -> float:
    return 0.1 * name.count(".")


def _is_json(field: SeenField) -> bool:
    return bool(field.texts) and all(text[:1] in ("[", "{") for text in field.texts)


def _share(field: SeenField, holds: Callable[[str], bool]) -> float:
    total = sum(field.texts.values())
    return sum(count for text, count in field.texts.items() if holds(text)) / total if total else 0.0
