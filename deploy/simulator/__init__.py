"""A simulated fleet of devices, its telemetry as files, and the truth about it."""
