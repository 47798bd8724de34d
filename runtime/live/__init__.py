"""Answers that are kept up to date while points come in."""

from __future__ import annotations

from runtime.live.following import Follower
from runtime.live.row_changes import CurrentAnswer, RowChange, applied

__all__ = ["CurrentAnswer", "Follower", "RowChange", "applied"]
