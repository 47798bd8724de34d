"""Methods of real numbers."""

from __future__ import annotations

from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.values.constants import Literal


class RealMethods(Methods):
    """Functions of real numbers: floats, the same bits on every machine. Null outside of the domain, and where the
    result is too large for a float."""

    def sqrt(self) -> Self:
        """The square root; null of negative numbers."""
        return self._of("sqrt")

    def exp(self) -> Self:
        """e to the power of the number."""
        return self._of("exp")

    def log(self) -> Self:
        """The natural logarithm; null of numbers that are not positive."""
        return self._of("log")

    def log10(self) -> Self:
        """The logarithm to base 10; null of numbers that are not positive."""
        return self._of("log10")

    def log2(self) -> Self:
        """The logarithm to base 2; null of numbers that are not positive."""
        return self._of("log2")

    def pow(self, exponent: Self | Literal) -> Self:
        """The number to the power of ``exponent``, a float also of integers. Null of 0 to a negative power, and of a
        negative number to a power that is not whole; 1 for the power 0."""
        return self._of("pow", exponent)

    def sin(self) -> Self:
        """The sine of an angle in radians, of any size."""
        return self._of("sin")

    def cos(self) -> Self:
        """The cosine of an angle in radians, of any size."""
        return self._of("cos")

    def tan(self) -> Self:
        """The tangent of an angle in radians, of any size."""
        return self._of("tan")

    def asin(self) -> Self:
        """The angle in radians with this sine, from -pi/2 to pi/2; null beyond -1 and 1."""
        return self._of("asin")

    def acos(self) -> Self:
        """The angle in radians with this cosine, from 0 to pi; null beyond -1 and 1."""
        return self._of("acos")

    def atan(self) -> Self:
        """The angle in radians with this tangent, from -pi/2 to pi/2."""
        return self._of("atan")

    def atan2(self, x: Self | Literal) -> Self:
        """The angle in radians, from -pi to pi, between the x axis and the point with this y and ``x``; 0 if both are
        0."""
        return self._of("atan2", x)

    def radians(self) -> Self:
        """An angle in degrees, in radians."""
        return self._of("radians")

    def degrees(self) -> Self:
        """An angle in radians, in degrees."""
        return self._of("degrees")
