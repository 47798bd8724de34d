"""Query execution: plan, tasks, scans, kernels, merge and proof."""
