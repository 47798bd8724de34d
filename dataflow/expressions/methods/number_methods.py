"""Methods of numbers."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.values.constants import plain
from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.types import MAX_PLACES


class NumberMethods(Methods):
    """Functions of numbers."""

    def abs(self) -> Self:
        """The absolute value of a number or duration."""
        return self._of("abs")

    def decimal(self, places: int, rounding: str = "exact") -> Self:
        """The number as a decimal with ``places`` (0 to 9) decimal places: an integer number of units, exact in sums.

        A float is read as the decimal that it is nearest to. More places are an error, or with ``rounding``
        ``"half_even"`` or ``"half_up"`` (away from zero) rounded. Floats of 2**51 units and more are treated in the
        same way, since their neighbours are too far apart.
        """
        places = plain(places)
        if isinstance(places, bool) or not isinstance(places, int) or not 0 <= places <= MAX_PLACES:
            raise DataflowError(f"decimal takes 0 to {MAX_PLACES} places, got {shown(places)}")
        if rounding not in ("exact", "half_even", "half_up"):
            raise DataflowError(f"decimal: rounding is exact, half_even or half_up, got {shown(rounding)}")
        return self._of("decimal", places=places, rounding=rounding)
