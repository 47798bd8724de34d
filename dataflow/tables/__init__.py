"""Reference tables and calendars, and their periods."""
