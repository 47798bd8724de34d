"""Tasks and partial states, in memory and as bytes."""
