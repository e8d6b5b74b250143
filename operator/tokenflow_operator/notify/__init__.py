"""Tells receivers of a policy's alerts: the only part of the operator that talks to the world outside the cluster."""
