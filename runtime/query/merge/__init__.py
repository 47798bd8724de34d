"""From partial states to a result."""
