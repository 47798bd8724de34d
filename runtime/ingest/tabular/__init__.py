"""Tables with typed columns: Parquet, Arrow, frames, arrays."""
