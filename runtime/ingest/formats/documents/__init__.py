"""Formats whose records are inside of JSON documents of a known shape."""
