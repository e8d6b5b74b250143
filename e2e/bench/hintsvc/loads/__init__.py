"""Loads, each a program of its own that prints what it did as JSON."""
