"""Tables with typed columns: Parquet, Arrow, data frames, arrays."""
