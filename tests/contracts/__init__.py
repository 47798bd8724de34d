"""Contracts: classes of tests that every implementation of an interface is held to, by a subclass with a fixture."""
