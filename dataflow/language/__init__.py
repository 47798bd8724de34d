"""The DSL: streams, timelines and aggregates, as people write them."""
