"""Answers that are kept up to date while points come in."""

from __future__ import annotations

from runtime.live.alerts import Alert
from runtime.live.following import Follower
from runtime.live.row_changes import CurrentAnswer, RowChange, applied

__all__ = ["Alert", "CurrentAnswer", "Follower", "RowChange", "applied"]
