"""Comparison of strings stored as bytes in one blob with offsets, without decoding them."""

from __future__ import annotations

from typing import Any

from operators.compiler.loops import loop


@loop("b1(i8[::1], u1[::1], i8[::1], i8[::1], u1[::1], i8[::1])")
def same_texts(offsets: Any, blob: Any, which: Any, others: Any, other_blob: Any, which_other: Any) -> Any:
    """Whether string ``which[i]`` of the one blob equals string ``which_other[i]`` of the other, for every i."""
    for i in range(len(which)):
        at = offsets[which[i]]
        size = offsets[which[i] + 1] - at
        other = others[which_other[i]]
        if others[which_other[i] + 1] - other != size:
            return False
        for k in range(size):
            if blob[at + k] != other_blob[other + k]:
                return False
    return True
