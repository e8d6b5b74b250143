"""What pods say to one another over TCP: HTTP, gRPC and SQL, also through TLS.

The kernel hands over the first bytes of each message; they are read here, counted under a template, a method or
a verb, and dropped. No path, query, header or body is kept.
"""
