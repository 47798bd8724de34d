"""The DSL of funnels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Self

from dataflow.expressions.aggregate_calls import named_columns
from dataflow.expressions.expr import Expr, Operand, expr
from dataflow.language.timelines import Chain
from dataflow.steps.funnels.funnel import FUNNEL_MODES, MAX_FUNNEL, Exclusion, Funnel
from dataflow.steps.funnels.funnel_table import FunnelTable
from dataflow.times.durations import parse_duration, placed_every
from dataflow.values.constants import plain
from dataflow.values.mistaken import listed_values, shown, text_of
from dataflow.values.settings import Setting
from operators.errors import DataflowError

Exclusions = Mapping[Expr, tuple[int, int]] | Sequence[tuple[Operand, tuple[int, int]]]
"""Conditions, each with the numbers of the steps between which it ends an attempt."""


class Funnels(Chain):
    """Funnels, and the table of their steps."""

    def funnel(
        self,
        steps: Sequence[Operand],
        within: str | timedelta | Sequence[str | timedelta],
        mode: str = "strict",
        *,
        exclude: Exclusions = (),
        every: str | None = None,
        zone: str = "UTC",
        count: str = "keys",
        per: str | None = None,
        gap: str | timedelta | None = None,
    ) -> Self:
        """How far each key got through the conditions ``steps``, in their order, ``within`` the time from the first.

        An attempt starts at every row that meets step 1 and lasts for ``within``, both ends included. It meets each
        further step at the first row that meets it and comes after the row of the step before; other rows in between
        do not matter. With a list of lengths, one for each step after the first, each is counted from the step before.
        The attempt of a key that gets furthest counts; among several, the one that starts last. ``mode`` says which
        rows come after:

        - ``"strict"``: rows at a later time. Rows at the same time have no order.
        - ``"ordered"``: later rows; at the same time, in order of arrival.
        - ``"any"``: rows in the same second or later, for logs with a resolution of seconds. Within a second (of UTC)
          the order does not matter, and one row may meet several steps. Times are rounded down to seconds.
        - ``"any_order"``: the steps may be met in any order. An attempt starts at every row that meets a step; one row
          may meet several.

        ``exclude``: conditions with two steps each, as ``{cond: (1, 2)}`` or ``[(cond, (1, 2))]``. A row that meets the
        condition after the row of step 1 and before that of step 2 ends the attempt, which keeps the steps that it met;
        another may start later. In a mode in which rows have no order, both are at other times. In ``"any_order"`` only
        (1, the number of steps): a row after the first and before the last.

        Which attempts have a row:

        - by default the one of each key that got furthest;
        - ``every``, a calendar bucket like ``"1d"`` in ``zone``: the one of each key and bucket in which it started.
          The column ``entry`` is the start of the bucket;
        - ``per="session"``: the one of each session that met step 1. No attempt goes on where a key has no rows for
          longer than ``gap``;
        - ``count="all"``: every attempt that met all steps. A row belongs to one at most: of several that are
          completed by the same row, the one that starts last counts, and the next starts after it. Also with
          ``per="session"``.

        Rows: the key, start (time of step 1), end (time of the last step met), duration, ``steps`` (the number of steps
        met, from 1), ``step_2``, ``step_3`` ... (when each was met, else null), and the other columns as last reported
        at the start. In ``"any_order"``, start is the time of the first step that was met; there is also ``step_1``,
        and ``reached_2``, ``reached_3`` ...: when so many steps had been met.
        """
        conditions = tuple(expr(s) for s in listed_values(steps, "funnel takes a list of conditions"))
        if not 2 <= len(conditions) <= MAX_FUNNEL:
            raise DataflowError(f"funnel takes 2 to {MAX_FUNNEL} steps, got {len(conditions)}")
        if mode not in FUNNEL_MODES:
            raise DataflowError(f"funnel: mode is one of {', '.join(FUNNEL_MODES)}, got {shown(mode)}")
        windows: int | tuple[int, ...]
        if isinstance(within, list | tuple):
            if any(isinstance(length, Setting) for length in within):
                raise DataflowError("funnel(within): a list of lengths takes no parameters")
            windows = tuple(parse_duration(length, "funnel(within)") for length in within)
        else:
            windows = parse_duration(within, "funnel(within)")  # type: ignore[arg-type]
        step = Funnel(
            conditions,
            windows,
            mode,
            _exclusions(exclude),
            None if every is None else placed_every(every, None, None, "funnel(every)"),
            text_of(zone, "funnel(zone)"),
            text_of(count, "funnel(count)"),
            None if per is None else text_of(per, "funnel(per)"),
            None if gap is None else parse_duration(gap, "funnel(gap)"),
        )
        if (wrong := step.problem()) is not None:
            raise DataflowError(f"funnel: {wrong}")
        return self._then(step)

    def funnel_table(self, *by: str | Expr, **named: Operand) -> Self:
        """After a funnel, one row for each step: how many keys met it, and how long they took from the step before.

        Rows: the group columns, if any are given; ``step`` (1, 2, ...); ``keys``, the number of the funnel's rows that
        met at least so many steps (of keys, unless the funnel has ``every`` or ``per``); ``share_of_first`` and
        ``share_of_previous`` (keys / those of step 1, and of the step before, which is null in step 1);
        ``median_time`` from the step before, of those that met this one (null in step 1, the lower of two). In mode
        ``"any_order"`` step n is the n-th that a key met, whichever it is.
        """
        funnel = next((s for s in reversed(self.steps) if isinstance(s, Funnel)), None)
        if funnel is None:
            raise DataflowError("funnel_table: it needs the rows of a funnel; use it after .funnel([...], within)")
        if funnel.count == "all":
            raise DataflowError(
                "funnel_table: with count='all' a funnel has only attempts that met all steps, so every share is 1; "
                "count them with .agg(n=df.count()), or leave out count="
            )
        grouped = named_columns(by, named, "funnel_table")
        return self._then(FunnelTable(grouped, len(funnel.steps), funnel.mode == "any_order"))


def _exclusions(exclude: Exclusions) -> tuple[Exclusion, ...]:
    pairs = list(exclude.items()) if isinstance(exclude, Mapping) else exclude
    if not isinstance(pairs, list | tuple):
        raise DataflowError(f"funnel: exclude takes {{condition: (1, 2)}} or [(condition, (1, 2))], got {shown(pairs)}")
    found = []
    for pair in pairs:
        steps = pair[1] if isinstance(pair, list | tuple) and len(pair) == 2 else None
        numbers = [plain(n) for n in steps] if isinstance(steps, list | tuple) and len(steps) == 2 else []
        if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
            raise DataflowError(
                "funnel: exclude takes conditions with the numbers of two steps, {condition: (1, 2)} or "
                f"[(condition, (1, 2))], got {shown(pair)}"
            )
        found.append(Exclusion(expr(pair[0]), *numbers))
    return tuple(found)
