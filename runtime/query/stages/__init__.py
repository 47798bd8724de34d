"""The stages of a task: rows in, kernels over them, rows out."""
