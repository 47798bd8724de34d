"""The resources of a deployment, and its template."""
