"""From a plan to an answer: tasks, scans, kernels, merging and the proof."""
