"""Steps that follow each key through time and make rows of their own."""
