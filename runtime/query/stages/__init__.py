"""The stages of a task: kernels over batches of rows."""
