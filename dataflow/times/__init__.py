"""Lengths of time, time zones and calendars."""
