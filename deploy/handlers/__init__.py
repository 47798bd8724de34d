"""The functions of Lambda: each module has one ``handler(event, context)``."""
