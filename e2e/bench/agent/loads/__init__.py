"""Loads, each a program of its own that runs in a pod of the site and prints what it did as JSON."""
