"""A deterministic simulator of the catalogue protocol: real steps, a simulated table, adverse schedules."""
