"""One unit of work, its state, and both as bytes."""
