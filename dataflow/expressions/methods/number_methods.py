"""Methods of numbers."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.expressions.whole_options import whole_option
from dataflow.values.constants import Literal
from dataflow.values.mistaken import shown
from dataflow.values.settings import Setting
from operators.errors import DataflowError


class NumberMethods(Methods):
    """Functions of numbers."""

    def __abs__(self) -> Self:
        return self.abs()

    def __round__(self, n: int = 0) -> Self:
        return self.round(n)

    def abs(self) -> Self:
        """The absolute value of a number or duration."""
        return self._of("abs")

    def floor(self) -> Self:
        """The greatest whole number that is not above the number, of the same type."""
        return self._of("floor")

    def ceil(self) -> Self:
        """The least whole number that is not below the number, of the same type."""
        return self._of("ceil")

    def round(self, n: int = 0) -> Self:
        """The number to ``n`` decimal places (-9 to 18), half away from zero, of the same type. A float is read as the
        shortest decimal that reads back as it: ``round(2)`` of 1.005 is 1.01. A decimal keeps its places."""
        n = whole_option("round", "n", n)
        usual = not isinstance(n, Setting) and n == 0
        return self._of("round", **({} if usual else {"n": n}))

    def sign(self) -> Self:
        """-1, 0 or 1, of the type of the number; an integer of a duration."""
        return self._of("sign")

    def clip(self, low: Self | Literal = None, high: Self | Literal = None) -> Self:
        """The number, duration or time, but at least ``low`` and then at most ``high``. A bound that is null does not
        bound."""
        return self._of("clip", low, high)

    def decimal(self, places: int, rounding: str = "exact") -> Self:
        """The number as a decimal with ``places`` (0 to 9) decimal places: an integer number of units, exact in sums.

        A float is read as the decimal that it is nearest to. More places are an error, or with ``rounding``
        ``"half_even"`` or ``"half_up"`` (away from zero) rounded. Floats of 2**51 units and more are treated in the
        same way, since their neighbours are too far apart.
        """
        places = whole_option("decimal", "places", places)
        if rounding not in ("exact", "half_even", "half_up"):
            raise DataflowError(f"decimal: rounding is exact, half_even or half_up, got {shown(rounding)}")
        return self._of("decimal", places=places, rounding=rounding)
