"""The laws of aggregates, and random rows that check them."""
