"""The hint service: turns measurements into a token rate per tenant and path."""
