"""The parts of a metric's JSON form: errors, fields of steps, expressions read and written."""
