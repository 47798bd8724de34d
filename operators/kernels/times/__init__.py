"""Loop bodies of calendars, clocks, periods and durations."""
