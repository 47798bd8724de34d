"""Creating, changing, watching and removing a deployment."""
