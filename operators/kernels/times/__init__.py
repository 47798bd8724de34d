"""Loop bodies of calendars, clocks, periods, durations and times as text."""
