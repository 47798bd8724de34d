"""The base of the classes that give ``Expr`` its methods."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

from dataflow.expressions.node import Node
from dataflow.values.constants import Literal


class Methods(Node, ABC):
    """Methods of expressions: each makes a call of a function with ``_of``, which ``Expr`` defines."""

    @abstractmethod
    def _of(self, fn: str, *args: Self | Literal, **options: object) -> Self:
        """The function ``fn`` of this expression and of ``args``, constants among them."""

    @abstractmethod
    def _where(self, condition: Self | Literal) -> Self:
        """This expression where the condition is true, else null."""
