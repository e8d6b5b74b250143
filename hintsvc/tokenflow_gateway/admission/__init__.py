"""Whether and when a request may start: quotas, capacity, priorities."""
