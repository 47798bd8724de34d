"""The DSL: streams, timelines and aggregates."""
