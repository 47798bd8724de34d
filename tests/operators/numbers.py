"""Numbers of all kinds, to be summed."""

from __future__ import annotations

import math

from hypothesis import strategies as st

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.floats(-1e6, 1e6),
    st.sampled_from([5e-324, -5e-324, 2.2250738585072014e-308, 1e300, -1e300, 0.1, -0.0, 2.0**53, 1.0]),
    st.builds(math.ldexp, st.floats(-2, 2), st.integers(-60, 60)),
)
