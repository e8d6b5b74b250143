"""Alerts: one table, told to Prometheus, in the status, as Events and to notifiers."""
