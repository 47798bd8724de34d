"""A fleet that is simulated, to plan and to test."""
