"""Creates, updates, watches and removes a deployment."""
