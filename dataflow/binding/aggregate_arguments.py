"""What an aggregate's step is given, as its signature arranges it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dataflow.typed.nodes import Typed
from operators.aggregates import SIGNATURES
from operators.signatures import Arranged
from operators.types import Type


@dataclass(frozen=True)
class TypedArguments:
    """The arguments of an aggregate (``operators.signatures.Arguments``).

    ``begin``: where rows are pieces of intervals, when the interval began. ``sites`` numbers expressions that remember
    rows; ``fail`` makes errors.
    """

    args: Sequence[Typed]
    kind: Type
    options: Mapping[str, object]
    begin: Typed | None
    sites: Iterator[int]
    fail: Callable[[str], Exception]

    @property
    def first(self) -> Typed:
        """See Arguments."""
        return self.args[0]

    @property
    def second(self) -> Typed:
        """See Arguments."""
        return self.args[1]

    @property
    def first_piece(self) -> tuple[Typed, ...]:
        """See Arguments."""
        return () if self.begin is None else (self.call("whole", Type.BOOL, self.begin),)

    def call(self, fn: str, kind: Type, *args: Typed, **options: object) -> Typed:
        """See Arguments."""
        return Typed(fn, kind, args, tuple(options.items()))

    def remembering(self, fn: str, kind: Type, *args: Typed) -> Typed:
        """See Arguments."""
        return Typed(fn, kind, args, (), next(self.sites))

    def elapsed(self) -> Typed:
        """See Arguments."""
        reported = (self.first,) if self.begin is None else (self.first, self.begin)
        return self.remembering("elapsed", Type.DURATION, *reported)


def arranged(
    fn: str,
    args: Sequence[Typed],
    options: Mapping[str, object],
    begin: Typed | None,
    sites: Iterator[int],
    fail: Callable[[str], Exception],
) -> Arranged:
    """What the step of aggregate ``fn`` is given; see ``TypedArguments``."""
    argument = args[0] if args else None
    kind = None if argument is None else argument.type
    signature = SIGNATURES.get(fn)
    if argument is None or kind is None or signature is None or signature.arrange is None:
        return Arranged(fn, kind, argument, args[1] if len(args) == 2 else None)
    return signature.arrange(TypedArguments(args, kind, options, begin, sites, fail))


def types_taken(kinds: Sequence[Type]) -> str:
    """The names of the types; decimals are listed once."""
    names = sorted(str(t) for t in kinds if t.places is None)
    return ", ".join([*names, *(["decimal"] if any(t.places is not None for t in kinds) else [])])


def needs_order(inputs: Sequence[str]) -> bool:
    """Whether a step uses the time of its row; rows after ``group_by`` have none."""
    return "time" in inputs or "tie" in inputs
