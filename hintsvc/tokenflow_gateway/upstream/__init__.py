"""The upstreams' side: connections, which upstream to ask, and what is known of each."""
