"""The physical plan: stages with their sinks, how far they look back, and what they guarantee."""
