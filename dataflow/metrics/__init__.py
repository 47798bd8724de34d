"""A metric as a whole: its plan for a stream, and its JSON form."""
