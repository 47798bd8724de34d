"""Funnels: how far each key got through a sequence of conditions."""
