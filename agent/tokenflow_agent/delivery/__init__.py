"""Brings windows to the hint services, through outages."""
