"""What each tenant may take: limits that all replicas share, and what was used."""
