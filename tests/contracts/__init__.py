"""Contracts: test classes for every implementation of an interface; a subclass provides the fixture."""
