"""What needs real servers: contracts, races and whole stores on local stand-ins for AWS (`pytest -m stack`)."""
