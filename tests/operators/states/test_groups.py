"""Merging states that are not of the expected form is refused."""

from __future__ import annotations

import numpy as np
import pytest

from operators.aggregates import REGISTRY
from operators.errors import DataflowError
from operators.states.groups import Groups, GroupState
from operators.types import Type


@pytest.mark.parametrize(
    "keys", [np.zeros((2, 1), np.int64), np.zeros((2, 3), np.int64), np.zeros((2, 2), np.int32), np.zeros(2, np.int64)]
)
def test_keys_of_another_form_are_refused(keys: np.ndarray) -> None:
    """A worker of another version is reported; the loop that finds groups would read beyond its rows."""
    groups = Groups([Type.INT], [REGISTRY["count", None]])
    with pytest.raises(
        DataflowError, match=r"a partial state has keys of int.*: the process that made it runs another version"
    ):
        groups.merge(GroupState(keys, [{"n": np.zeros(2, np.int64)}], []), lambda strings: np.zeros(0, np.int32))
