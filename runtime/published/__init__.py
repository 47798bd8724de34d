"""Published queries: versions of a metric under a name, run by it over what earlier runs have left."""

from runtime.published.definition import Parameter, Published

__all__ = ["Parameter", "Published"]
