"""Event times: texts in any form, numbers in a unit, clocks of time zones."""
