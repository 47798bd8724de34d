"""A deterministic simulator of the catalogue's protocol: real steps, a simulated table, adverse schedules."""
