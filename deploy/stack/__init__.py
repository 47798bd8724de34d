"""The AWS side of a deployment: its settings, its template, and how it is made, watched and removed."""
