"""Suggestions for unknown names: the most similar known name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_LONGEST = 100
_MOST = 20_000


def nearest(name: object, known: Iterable[object]) -> str | None:
    """The one of ``known`` that is most similar to ``name``, ignoring case; None if none is similar.

    A prefix or suffix is similar, too: ``temp`` to ``temperature``.
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
    """``"did you mean 'x'? Then"``, to follow a semicolon; only ``"then"`` if nothing is similar."""
    found = nearest(name, known)
    return then if found is None else f"did you mean {found!r}? {then[:1].upper()}{then[1:]}"


def listed(known: Iterable[object], most: int = 20) -> str:
    """The names, at most the first ``most`` of them; ``none`` if there are none."""
    names = [str(n) for n in known]
    shown = ", ".join(names[:most]) or "none"
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def no_attribute(
    owner: str, name: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> AttributeError:
    """The error for an attribute that ``owner`` (as named in messages) does not have, with a suggestion; ``elsewhere``:
    what to do about names of other libraries."""
    public = sorted(n for n in known if not n.startswith("_"))
    written = (elsewhere or {}).get(name)
    hint = written or ("" if name.startswith("_") else meant(name, public).strip())
    # obj=None, so that Python does not add a suggestion of its own.
    return AttributeError(f"{owner} has no {name!r}" + (f"; {hint}" if hint else ""), name=name, obj=None)
