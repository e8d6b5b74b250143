"""The tenants' quotas: leases of what all replicas share, reservations, and what was used."""
