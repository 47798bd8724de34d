"""The life of a deployment in an account of AWS (`pytest -m aws`)."""
