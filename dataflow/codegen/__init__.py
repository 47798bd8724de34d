"""From a stage to the source of its kernel. Values never appear in the source: constants are arguments."""

from dataflow.codegen.stage import Generated, generate

__all__ = ["Generated", "generate"]
