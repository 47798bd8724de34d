"""The AWS deployment: its settings, its template, and the actions that create, watch and remove it."""
