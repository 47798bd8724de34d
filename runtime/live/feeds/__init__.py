"""Where points come from for as long as they are watched."""
