"""Tests on local AWS emulators: contracts, races and whole stores (`pytest -m stack`)."""
