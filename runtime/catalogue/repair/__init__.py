"""Checking, sealing and saving catalogues."""
