"""Parameters in place of constants that are no expressions: lengths of time, zones, lists, names of columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self


class Setting(ABC):
    """A parameter where a step or a function takes a constant. A metric has its value before it is bound
    (``dataflow.metrics.settings_of_metrics``); until then it stands in the field."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name."""

    @abstractmethod
    def checked_name(self, read: Callable[[Any], object]) -> Self:
        """The same where it names a column: it must have choices."""

    @abstractmethod
    def checked(self, read: Callable[[Any], object]) -> Self:
        """The parameter itself, after ``read`` has taken its default and choices; else the error of ``read``."""
