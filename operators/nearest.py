"""Names that were probably meant: an unknown name is answered with the known one that is most like it."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 100
_MOST = 20_000


def nearest(name: object, known: Iterable[object]) -> str | None:
    """The one of ``known`` that ``name`` resembles most, whatever its case; None if none of them is like it.

    A name that begins another, or ends it, is like it, too: ``temp`` is like ``temperature``.
    """
    from difflib import get_close_matches  # only an error needs it

    text = str(name)
    if not text or len(text) > _LONGEST:
        return None
    by_form: dict[str, str] = {}
    for candidate in list(known)[:_MOST]:
        by_form.setdefault(_form(str(candidate)), str(candidate))
    form = _form(text)
    if form in by_form:
        return by_form[form]
    found = get_close_matches(form, by_form, 1, 0.65)
    if not found and len(form) >= 3:
        inside = (c for c in by_form if c and (c.startswith(form) or c.endswith(form) or form.startswith(c)))
        found = sorted(inside, key=lambda c: (abs(len(c) - len(form)), c))
    return by_form[found[0]] if found else None


def _form(name: str) -> str:
    return name.casefold().replace("-", "_")


def meant(name: object, known: Iterable[object], then: str = "") -> str:
    """``"did you mean 'x'? Then"``, after a semicolon; only ``"then"`` where nothing is like ``name``."""
    found = nearest(name, known)
    return then if found is None else f"did you mean {found!r}? {then[:1].upper()}{then[1:]}"


def listed(known: Iterable[object], most: int = 20) -> str:
    """Names after one another, the first ``most`` of them; ``none`` if there are none."""
    names = [str(n) for n in known]
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def no_attribute(owner: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of an attribute that ``owner`` (as messages name it) does not have, with the one that was meant."""
    public = sorted(n for n in known if not n.startswith("_"))
    hint = "" if name.startswith("_") else meant(name, public).strip()
    # With an object of its own, so that Python does not add another guess to this one.
    return AttributeError(f"{owner} has no {name!r}" + (f"; {hint}" if hint else ""), name=name, obj=None)
