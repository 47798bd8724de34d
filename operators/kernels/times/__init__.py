"""Loop bodies of calendars, clocks, periods and lengths of time."""
