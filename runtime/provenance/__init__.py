"""Where a number comes from: the rows, keys and files behind it."""
