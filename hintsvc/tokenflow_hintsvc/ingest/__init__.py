"""Telemetry on its way in: who may say what, when it was, and how it gets into the store."""
