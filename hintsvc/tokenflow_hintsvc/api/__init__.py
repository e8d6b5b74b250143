"""The HTTP API of a replica: one module per resource, each with its endpoints and their handlers."""
