"""Durations, time zones and calendar tables."""
