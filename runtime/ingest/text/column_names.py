"""The columns that a source's fields become: which are taken, and under which name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from runtime.errors import IngestError

UNWANTED = -1
"""The place of a field that is not taken."""


@dataclass(frozen=True)
class Names:
    """Names of a source's columns: the ``first`` two are those of the key and the time.

    ``needed`` are fields that are read in any case, because key or time consist of them. ``rename`` has the new names;
    ``columns`` and ``drop`` are names or patterns of fields to take and to leave out, in the source's names; ``whole``
    are columns whose objects stay JSON text. ``met`` collects what of ``rename``, ``columns`` and ``drop`` was there.
    """

    first: tuple[str, str]
    needed: frozenset[str] = frozenset()
    rename: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()
    met: set[str] = field(default_factory=set, compare=False)

    @property
    def is_plain(self) -> bool:
        """Whether every field is taken under its own name."""
        return not (self.rename or self.columns or self.drop)

    def columns_of(self, names: Sequence[str], source: str) -> list[str | None]:
        """The columns of all fields of a source; IngestError if two become one."""
        found: dict[str, str] = {}
        out = [self.column(name) for name in names]
        for name, new in zip(names, out, strict=True):
            if new is not None and found.setdefault(new, name) != name:
                raise IngestError(f"{source}: {found[new]!r} and {name!r} would both become {new!r} (--rename).")
        return out

    def column(self, name: str) -> str | None:
        """The column of the source's field ``name``; None if it is not taken."""
        new = self.rename.get(name, name)
        if name in self.rename:
            self.met.add(name)
        kept = [p for p in self.columns if fnmatchcase(name, p) or fnmatchcase(new, p)]
        dropped = [p for p in self.drop if fnmatchcase(name, p)]
        self.met.update(kept, dropped)
        if new in self.first or name in self.needed or new in self.needed:
            return new
        return None if dropped or (self.columns and not kept) else new
