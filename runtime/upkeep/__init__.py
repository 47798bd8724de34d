"""Upkeep of a store: fewer files, and what is taken back, out of date or left over."""
